"""How much of files is in memory at once: by size, so that many small ones do not wait for each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from postroom.channels.exports.model import FILE_BYTES_MAX

FILES_AT_ONCE: Final = 16
BYTES_AT_ONCE: Final = 2 * FILE_BYTES_MAX


class Budget:
    """Promise: at most `FILES_AT_ONCE` files, and together `BYTES_AT_ONCE` before compression."""

    def __init__(self) -> None:
        self._files = FILES_AT_ONCE
        self._bytes = BYTES_AT_ONCE
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def take(self, size_bytes: int) -> AsyncIterator[None]:
        """Wait for room for a file; of one whose size nobody knows (0) the greatest is taken."""
        size_bytes = min(size_bytes or FILE_BYTES_MAX, BYTES_AT_ONCE)
        async with self._changed:
            await self._changed.wait_for(lambda: self._files > 0 and self._bytes >= size_bytes)
            self._add(-1, -size_bytes)
        try:
            yield
        finally:
            async with self._changed:
                self._add(1, size_bytes)
                self._changed.notify_all()

    def _add(self, files: int, size_bytes: int) -> None:
        self._files += files
        self._bytes += size_bytes
