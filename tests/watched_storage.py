"""A real folder for exports that counts what is written and can do something before and after."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from postroom.channels.exports.folder import FolderStorage


class WatchedStorage:
    """`before` and `after` may raise: then the write failed before it began, or after it was durable."""

    def __init__(self, root: Path) -> None:
        self.folder = FolderStorage(root)
        self.paths: list[str] = []
        self.before: Callable[[], Awaitable[object]] | None = None
        self.after: Callable[[], Awaitable[object]] | None = None

    async def put(self, path: str, content: bytes) -> None:
        self.paths.append(path)
        if self.before is not None:
            await self.before()
        await self.folder.put(path, content)
        if self.after is not None:
            await self.after()
