"""While many are under way and few come at a time, a claim waits for more of them; no key waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from postroom.base.db import Pool
from postroom.outbox.engine import relay as module
from postroom.outbox.engine.relay import STREAM_MIN
from postroom.outbox.model import Answer, Claim
from tests.fixtures.engine import Engine, ScriptedAdapter, email
from tests.outbox.engine.test_domain_limits import running, until

LONG_S = 30.0
"""So long that a test which waits for it fails."""


class Held(ScriptedAdapter):
    """Each delivery takes until its key is let go; `None` lets go of all."""

    concurrency_max = per_destination_max = 400

    def __init__(self) -> None:
        super().__init__()
        self.let_go: set[str | None] = set()
        self.changed = asyncio.Condition()

    async def end(self, key: str | None = None) -> None:
        async with self.changed:
            self.let_go.add(key)
            self.changed.notify_all()

    async def deliver(self, claim: Claim) -> Answer:
        self.seen.append(claim)
        async with self.changed:
            await self.changed.wait_for(lambda: not self.let_go.isdisjoint({None, claim.key}))
        return self.answer(claim)


class HeldEngine(Engine):
    adapter: Held

    async def saw(self, count: int) -> None:
        """Wait until so many were claimed."""
        await until(lambda: len(self.adapter.seen) == count)


@asynccontextmanager
async def streaming(
    dsn: str, pool: Pool, gather_s: float, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[HeldEngine]:
    """A relay that has claimed `STREAM_MIN` and some more, the first two under one ordering key."""
    monkeypatch.setattr(module, "GATHER_S", gather_s)
    engine = await HeldEngine(dsn, pool, Held()).start()
    await engine.publish(email(f"o{n}", ordering_key="customer 7") for n in range(2))
    await engine.publish(email() for _ in range(STREAM_MIN))
    async with running(engine):
        await engine.saw(1 + STREAM_MIN)
        try:
            yield engine
        finally:
            await engine.adapter.end()


async def claims(pool: Pool) -> int:
    """How many there were: each keeps its row while something of it is under way."""
    count: int = await pool.fetchval("select count(*) from postroom.claim_batch")
    return count


@pytest.mark.parametrize(("gather_s", "gathers"), [(LONG_S, True), (0.0, False)])
async def test_what_streams_is_claimed_together(
    gather_s: float, gathers: bool, dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with streaming(dsn, pool, gather_s, monkeypatch) as engine:
        for n in range(4):
            await engine.publish([email(), email()])
            if not gathers:
                await engine.saw(1 + STREAM_MIN + 2 * (n + 1))
        await asyncio.sleep(0.1)
        assert await claims(pool) == (1 if gathers else 5)


async def test_the_next_one_of_an_ordering_key_is_claimed_at_once_and_the_others_with_it(
    dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with streaming(dsn, pool, LONG_S, monkeypatch) as engine, asyncio.timeout(LONG_S / 2):
        await engine.publish(email() for _ in range(8))
        await engine.adapter.end("o0")
        await engine.saw(2 + STREAM_MIN + 8)
        assert await claims(pool) <= 3, "that of the key, and one for all others"


async def test_where_little_is_under_way_nothing_waits(
    dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_S", LONG_S)
    engine = await HeldEngine(dsn, pool, Held()).start()
    async with running(engine):
        for count in (STREAM_MIN - 4, 3, 1, 1):  # the last two alone
            before = len(engine.adapter.seen)
            await engine.publish(email() for _ in range(count))
            await engine.saw(before + count)
        await engine.adapter.end()
