"""The real service as processes of their own, and clients that load it."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from postroom.admin.tokens import insert_token, parse_scopes
from postroom.base.db import connect
from postroom.dev.process import ChildProcess, module

LISTEN_S: Final = 60.0
SECRET: Final = "whsec_benchmark0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Api:
    """A running API. `token` may read everything; `pid` is the process that answers."""

    url: str
    token: str
    pid: int


@asynccontextmanager
async def open_process(
    arguments: Sequence[str], settings: Mapping[str, str], says: str
) -> AsyncIterator[tuple[int, re.Match[str]]]:
    """Start `python -m …`, wait until its log matches `says`, end it afterwards."""
    with tempfile.TemporaryDirectory(prefix="postroom-bench-") as home:
        process = await ChildProcess.start(
            arguments[0],
            module(*arguments),
            environment={**os.environ, **settings, "HOME": home},
            log=Path(home) / "log",
        )
        try:
            yield process.pid, await _said(process.log_path, says)
        finally:
            await process.stop()


async def _said(path: Path, pattern: str) -> re.Match[str]:
    async with asyncio.timeout(LISTEN_S):
        while (found := re.search(pattern, await asyncio.to_thread(path.read_text))) is None:
            await asyncio.sleep(0.05)
        return found


@asynccontextmanager
async def open_api(dsn: str, **settings: str) -> AsyncIterator[Api]:
    """`postroom serve` on a database."""
    conn = await connect(dsn)
    token, _ = await insert_token(conn, name="bench", scopes=parse_scopes(["admin:read", "events:write"]))
    await conn.close()
    environment = {
        "POSTROOM_DATABASE_URL": dsn,
        "POSTROOM_PORT": "0",
        "POSTROOM_STRIPE__WEBHOOK_SECRETS": SECRET,
        "POSTROOM_LOG_JSON": "true",
        **settings,
    }
    async with open_process(["postroom", "serve"], environment, r'"port": (\d+)') as (pid, found):
        yield Api(f"http://127.0.0.1:{found[1]}", token, pid)


async def time_requests(
    api: Api, looks: Mapping[str, Sequence[str]], *, count: int
) -> dict[str, list[float]]:
    """Ask for a path of each look in turn, one request at a time. Returns: milliseconds each, by look.

    Caches of two seconds are outlived, so that what is measured includes asking the database.
    """
    times_ms: dict[str, list[float]] = {key: [] for key in looks}
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {api.token}"}) as session:
        for number in range(count):
            for key, paths in looks.items():
                started = time.perf_counter()
                async with session.get(api.url + paths[number % len(paths)]) as answer:
                    await answer.read()
                    answer.raise_for_status() if answer.status != 503 else None
                times_ms[key].append((time.perf_counter() - started) * 1e3)
            await asyncio.sleep(0.1)
    return times_ms
