"""Stands in for `systemctl`: a page's `$RESTART_RUNNER` reaches the drill through a socket.

`python -m drill.control SOCKET ACTION` asks and waits; exit code 0 when it was done.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

TIMEOUT_S: Final = 90.0
DONE: Final = "done"

Actions = Mapping[str, Callable[[], Awaitable[None]]]


@asynccontextmanager
async def listening(path: Path, actions: Actions) -> AsyncIterator[None]:
    """Answer requests for these actions, one line each, until left."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = (await reader.readline()).decode().strip()
        try:
            await actions[name]()
            writer.write(DONE.encode())
        except Exception as error:  # noqa: BLE001
            # Whoever asked at the shell must see what went wrong, whatever it was.
            writer.write(f"{name}: {error!r}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    async with server:
        yield


async def ask(path: str, action: str) -> int:
    """Returns: the exit code."""
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(f"{action}\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
    if answer != DONE:
        print(answer, file=sys.stderr)
    return 0 if answer == DONE else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(ask(sys.argv[1], sys.argv[2])))
