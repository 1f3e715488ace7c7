"""Settlements share commits while they stream, and nobody waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from postroom.base.db import Pool
from postroom.outbox.engine import settler as module
from postroom.outbox.engine.settler import Settler
from postroom.outbox.policy import delivered
from tests.factories.claims import make_claim
from tests.fixtures.engine import Engine, ScriptedAdapter, email

LONG_S = 30.0
"""So long that a test which waits for it fails."""


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> Engine:
    return await Engine(dsn, pool, ScriptedAdapter()).start()


@asynccontextmanager
async def streaming(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, key: str | None
) -> AsyncIterator[Settler]:
    """A settler that has just settled one, and holds four more; `key`: the ordering key of the last."""
    monkeypatch.setattr(module, "GATHER_S", LONG_S)
    await engine.publish([*(email(f"k{n}") for n in range(4)), email("last", ordering_key=key)])
    first, *rest = await engine.claim()
    settler = Settler(pool=engine.pool, wake=lambda: None)
    task = asyncio.create_task(settler.run())
    try:
        settler.hand_in(first, delivered(), 1)
        await settler.freed()
        for claim in rest:
            settler.hand_in(claim, delivered(), 1)
        yield settler
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def commits(pool: Pool) -> tuple[int, int]:
    """Attempts, and the transactions that wrote them."""
    [row] = await pool.fetch("select count(*), count(distinct xmin::text) from postroom.attempt")
    return (row[0], row[1])


async def test_what_streams_is_gathered(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async with streaming(engine, monkeypatch, key=None) as settler:
        await asyncio.sleep(0.05)
        assert (settler.unsettled, await commits(engine.pool)) == (4, (1, 1))


async def test_who_waits_hears_when_settling_has_ended() -> None:
    """Cancelled by mistake, it would be waited for without end."""

    class Away:
        def acquire(self) -> None:
            raise asyncio.CancelledError

    settler = Settler(pool=cast(Pool, Away()), wake=lambda: None)
    task = asyncio.create_task(settler.run())
    settler.hand_in(make_claim(), delivered(), 1)
    async with asyncio.timeout(LONG_S):
        with pytest.raises(RuntimeError, match="settling broke"):
            await settler.freed()
    assert task.cancelled()


async def test_an_ordering_key_is_not_kept_waiting(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async with streaming(engine, monkeypatch, key="customer 7") as settler, asyncio.timeout(LONG_S / 2):
        while settler.unsettled:
            await asyncio.sleep(0.01)
    assert await commits(engine.pool) == (5, 2)


async def test_who_waits_for_room_is_not_kept_waiting(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with streaming(engine, monkeypatch, key=None) as settler, asyncio.timeout(LONG_S / 2):
        while settler.unsettled:
            await settler.freed()
    assert await commits(engine.pool) == (5, 2)


async def test_so_many_are_enough(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.GATHERED_MIN > 4
    monkeypatch.setattr(module, "GATHERED_MIN", 4)
    async with streaming(engine, monkeypatch, key=None) as settler, asyncio.timeout(LONG_S / 2):
        while settler.unsettled:
            await asyncio.sleep(0.01)
    assert await commits(engine.pool) == (5, 2)
