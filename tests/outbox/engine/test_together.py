"""Deliveries that go to one destination together: how many, when, and what of them is under way at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from postroom.base.db import Pool
from postroom.outbox.model import Answer, Channel, Claim, Delivered, Message, RetryLater
from postroom.worker.model import JobContext
from tests.fixtures.engine import AdapterEngine, ScriptedAdapter

BROKER = "broker.example"
WIDTH = 20
TOGETHER = 10


class Together(ScriptedAdapter):
    """Takes several of one destination at once, and single ones of the others."""

    circuit: str | None = None
    concurrency_max = 400
    per_destination_max = WIDTH
    batch_max = TOGETHER

    def __init__(self) -> None:
        super().__init__(channel=Channel.WEBHOOK)
        self.calls: list[tuple[str, int]] = []
        self.under_way = Counter[str]()
        self.most = Counter[str]()
        self.at_once: list[int] = []
        self.away = False

    def batch_of(self, claim: Claim) -> int:
        return TOGETHER if claim.destination == BROKER else 1

    async def deliver(self, claim: Claim) -> Answer:
        [answer] = await self.deliver_batch([claim])
        return answer

    async def deliver_batch(self, claims: Sequence[Claim]) -> Sequence[Answer]:
        [host] = {claim.destination for claim in claims}
        self.calls.append((host, len(claims)))
        self.under_way[host] += len(claims)
        self.most |= self.under_way
        self.at_once.append(self.under_way[host])
        await asyncio.sleep(0.001)
        self.under_way[host] -= len(claims)
        self.seen += claims
        return [RetryLater("away") if self.away else Delivered()] * len(claims)

    def sizes(self, host: str) -> list[int]:
        return [size for each, size in self.calls if each == host]


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> AdapterEngine:
    return await AdapterEngine(dsn, pool, Together()).start()


def to(host: str, count: int) -> list[Message]:
    payload = {"url": f"https://{host}/", "type": "t"}
    return [Message(channel="webhook", payload=payload) for _ in range(count)]


async def test_a_backlog_goes_together_and_each_once(engine: AdapterEngine) -> None:
    await engine.publish(to(BROKER, 600))
    assert await engine.drain() == 600
    adapter = engine.adapter
    assert isinstance(adapter, Together)
    assert len({claim.message_id for claim in adapter.seen}) == len(adapter.seen) == 600
    sizes = adapter.sizes(BROKER)
    assert sizes[:4] == [1, 1, 1, 1], "until it has shown that it answers"
    assert max(sizes) == TOGETHER
    assert sizes.count(TOGETHER) * TOGETHER > 300, "most of it"
    assert adapter.most[BROKER] == WIDTH, "never more than it may have"
    assert adapter.at_once.count(WIDTH) >= 5, "two are under way at once"


async def test_others_go_one_by_one_beside_it(engine: AdapterEngine) -> None:
    await engine.publish([*to(BROKER, 200), *to("posted.example", 200)])
    assert await engine.drain() == 400
    adapter = engine.adapter
    assert isinstance(adapter, Together)
    assert set(adapter.sizes("posted.example")) == {1}
    assert adapter.most["posted.example"] == WIDTH


async def test_one_that_fails_is_tried_alone_until_it_answers(engine: AdapterEngine, pool: Pool) -> None:
    adapter = engine.adapter
    assert isinstance(adapter, Together)
    await engine.publish(to(BROKER, 200))
    await engine.drain()
    adapter.away = True
    await engine.publish(to(BROKER, 200))
    await engine.drain()
    tried = await pool.fetchval("select sum(attempts) from postroom.delivery")
    assert 5 <= tried <= 5 + WIDTH, "those under way when its breaker opened, no more"
    adapter.calls.clear()
    await engine.travel(3_600)
    await engine.drain()
    assert adapter.sizes(BROKER) == [1], "its trial"
    adapter.away = False
    async with asyncio.timeout(60):
        while await pool.fetchval("select count(*) from postroom.delivery"):
            await engine.travel(3_600)
            await engine.drain()


async def test_one_that_comes_to_be_away_costs_little_more_than_what_is_under_way(
    engine: AdapterEngine, pool: Pool
) -> None:
    adapter = engine.adapter
    assert isinstance(adapter, Together)
    await engine.publish(to(BROKER, 1_000))
    draining = asyncio.create_task(engine.drain())
    async with asyncio.timeout(30):
        while len(adapter.seen) < 300:
            await asyncio.sleep(0)
    assert adapter.calls[-1] == (BROKER, TOGETHER)
    adapter.away = True
    await draining
    tried = await pool.fetchval("select sum(attempts) from postroom.delivery")
    assert 5 <= tried <= 2 * WIDTH, "five answers that failed, each half as many as the one before"


async def test_what_it_has_earned_is_kept_for_a_moment(engine: AdapterEngine) -> None:
    """Where a busy machine takes longer than that moment to publish, it is tried again."""
    adapter = engine.adapter
    assert isinstance(adapter, Together)
    firsts = []
    context = JobContext()
    task = asyncio.create_task(engine.relay.run(context))
    async with asyncio.timeout(60):
        for turn in range(1, 11):
            adapter.calls.clear()
            await engine.publish(to(BROKER, 100))
            while len(adapter.seen) < 100 * turn:
                await asyncio.sleep(0.001)
            firsts.append(adapter.sizes(BROKER)[0])
    context.stop.set()
    engine.wakeup.wake_all()
    await task
    assert firsts[0] == 1
    assert TOGETHER in firsts[1:]


class Gathered(Together):
    """Takes all that it may have under way at once, as exports do; what is tried first fails."""

    concurrency_max = 2 * WIDTH
    batch_max = WIDTH

    def batch_of(self, claim: Claim) -> int:
        return WIDTH

    async def deliver_batch(self, claims: Sequence[Claim]) -> Sequence[Answer]:
        self.away = not self.seen
        return await super().deliver_batch(claims)


async def test_what_waits_behind_a_batch_that_failed_is_not_held_for_ever(dsn: str, pool: Pool) -> None:
    engine = await AdapterEngine(dsn, pool, Gathered()).start()
    await engine.publish(to(BROKER, 3 * WIDTH))
    async with asyncio.timeout(20):
        await engine.drain()
    [left] = await pool.fetch("select sum(attempts) as failed, count(*) as waits from postroom.delivery")
    assert 0 < left["failed"] == left["waits"] <= WIDTH, "the first batch, once; all others were delivered"
