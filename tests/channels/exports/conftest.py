"""A runner of exports whose storage a test can watch and break."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports.adapter import ExportAdapter
from tests.fixtures.engine import AT_ONCE, AdapterEngine
from tests.fixtures.roles import pool_as
from tests.fixtures.watched_storage import WatchedStorage

Open = Callable[..., Awaitable[AdapterEngine]]


class Crash(BaseException):
    """Ends a worker or a job at once: nothing catches it."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "exports"


@pytest.fixture
def storage(root: Path) -> WatchedStorage:
    return WatchedStorage(root)


@pytest.fixture
def open_runner(dsn: str, pool: Pool, tmp_path: Path, storage: WatchedStorage) -> Open:
    async def open_one(**settings: Any) -> AdapterEngine:
        adapter = ExportAdapter(
            pool=pool_as(pool, "runner"),
            clock=SystemClock(),
            settings=ExportSettings(**{"roll_s": 0, **settings}),
            state_dir=tmp_path,
            storage=storage,
        )
        return await AdapterEngine(dsn, pool, adapter, AT_ONCE).start()

    return open_one


async def until_somebody_waits_for_a_lock(pool: Pool) -> None:
    waiting = """select exists (
        select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())"""
    async with asyncio.timeout(10):
        while not await pool.fetchval(waiting):
            await asyncio.sleep(0)
