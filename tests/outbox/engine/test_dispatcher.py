"""A destination that takes no more leaves room for the others, and loses nothing by it."""

from __future__ import annotations

import asyncio

import pytest

from postroom.base.db import Pool, transaction
from postroom.outbox import store
from postroom.outbox.model import Answer, Channel, Claim, Delivered, Message, RetryLater
from postroom.worker.model import JobContext
from tests.fixtures.engine import Engine, ScriptedAdapter


class SlowFor(ScriptedAdapter):
    """Never answers for some receivers until `gate` is set; answers at once for the others."""

    concurrency_max = 40
    per_destination_max = 5
    timeout_s = 60.0

    def __init__(self, *slow: str) -> None:
        super().__init__(channel=Channel.WEBHOOK)
        self.slow = slow
        self.opened = asyncio.Event()

    async def deliver(self, claim: Claim) -> Answer:
        if claim.destination in self.slow:
            await self.opened.wait()
        self.seen.append(claim)
        return Delivered()


def to(host: str, count: int) -> list[Message]:
    return [
        Message(channel="webhook", payload={"url": f"https://{host}/", "type": "t"}) for _ in range(count)
    ]


async def test_a_receiver_that_never_answers_holds_its_share_and_no_more(dsn: str, pool: Pool) -> None:
    adapter = SlowFor("slow.example")
    engine = await Engine(dsn, pool, adapter).start()
    await engine.publish(to("slow.example", 500))
    await engine.publish(to("good.example", 300))
    context = JobContext()
    task = asyncio.create_task(engine.relay.run(context))
    try:
        async with asyncio.timeout(60):
            while len(adapter.seen) < 300:
                await asyncio.sleep(0.01)
        held = await pool.fetchval(
            "select count(*) from postroom.delivery where worker is not null and destination = 'slow.example'"
        )
        assert held <= 2 * adapter.concurrency_max // 4
        assert await pool.fetchval("select sum(attempts) from postroom.delivery") == 0
        adapter.opened.set()
        async with asyncio.timeout(60):
            while len(adapter.seen) < 800:
                await asyncio.sleep(0.01)
    finally:
        adapter.opened.set()
        context.stop.set()
        engine.wakeup.wake_all()
        await task
    assert len({claim.message_id for claim in adapter.seen}) == 800


async def test_one_busy_receiver_is_served_without_putting_anything_off(dsn: str, pool: Pool) -> None:
    adapter = SlowFor("nobody")
    engine = await Engine(dsn, pool, adapter).start()
    await engine.publish(to("only.example", 1_000))
    assert await engine.drain() == 1_000
    assert (
        await pool.fetchval("select count(*) from postroom.tally where label like '%destination_full'") == 0
    )


async def test_putting_off_takes_only_what_is_due_and_named(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, SlowFor("x")).start()
    await engine.publish(to("a.example", 5) + to("b.example", 5))
    async with transaction(pool) as conn:
        moved = await store.put_off(conn, channel="webhook", delays_s={"a.example": 60.0}, scan_max=3)
        assert moved == 3
        assert await store.count_due(conn, channel="webhook", most=100) == 7


async def due_count(pool: Pool) -> int:
    async with pool.acquire() as conn:
        return await store.count_due(conn, channel="webhook", most=100)


async def test_receivers_that_hold_every_place_give_back_what_only_waits(dsn: str, pool: Pool) -> None:
    """As many silent ones as fill all places: the good one does not wait for their time-out."""
    silent = [f"silent{number}.example" for number in range(4)]
    adapter = SlowFor(*silent)
    engine = await Engine(dsn, pool, adapter).start()
    for host in silent:
        await engine.publish(to(host, 40))
    await engine.publish(to("good.example", 100))
    context = JobContext()
    task = asyncio.create_task(engine.relay.run(context))
    try:
        async with asyncio.timeout(30):
            while len(adapter.seen) < 100:
                await asyncio.sleep(0.01)
        assert {claim.destination for claim in adapter.seen} == {"good.example"}
        assert await pool.fetchval("select sum(attempts) from postroom.delivery") == 0
    finally:
        adapter.opened.set()
        context.stop.set()
        engine.wakeup.wake_all()
        await task


async def test_a_slow_receiver_alone_keeps_what_was_claimed(dsn: str, pool: Pool) -> None:
    adapter = SlowFor("slow.example")
    engine = await Engine(dsn, pool, adapter).start()
    await engine.publish(to("slow.example", 9))
    task = asyncio.create_task(engine.drain())
    await asyncio.sleep(1.5)  # time itself is what is tried: longer than SILENT_S
    adapter.opened.set()
    assert await asyncio.wait_for(task, 30) == 9
    assert (
        await pool.fetchval("select count(*) from postroom.tally where label like '%destination_full'") == 0
    )


class Broken(ScriptedAdapter):
    """A breaker a receiver, and every answer is a strike."""

    circuit: str | None = None

    def __init__(self) -> None:
        super().__init__(lambda _: RetryLater("answered 500"), channel=Channel.WEBHOOK)


async def test_what_waits_for_an_open_breaker_is_not_late(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, Broken()).start()
    await engine.publish(to("bad.example", 5))
    await engine.drain()
    await pool.execute("update postroom.circuit set retry_at = now() + interval '1 h' where state = 'open'")
    await engine.publish(to("bad.example", 50))
    context = JobContext()
    task = asyncio.create_task(engine.relay.run(context))
    try:
        async with asyncio.timeout(60):
            while await due_count(pool):
                await asyncio.sleep(0.05)
    finally:
        context.stop.set()
        engine.wakeup.wake_all()
        await task
    assert len(engine.adapter.seen) == 5, "nobody tried while the breaker was open"
    assert await pool.fetchval("select sum(attempts) from postroom.delivery") == 5
    latest_s = "select extract(epoch from max(due_at) - now()) from postroom.delivery where attempts = 0"
    assert await pool.fetchval(latest_s) < 31, "a person who closes it need not wait long"


class SteadyFor(ScriptedAdapter):
    """Answers well, but for one receiver it takes a while; a third one refuses everything."""

    circuit: str | None = None
    concurrency_max = 800
    per_destination_max = 50

    def __init__(self) -> None:
        super().__init__(channel=Channel.WEBHOOK)
        self.good = asyncio.Event()

    async def deliver(self, claim: Claim) -> Answer:
        self.seen.append(claim)
        if claim.destination == "steady.example":
            await asyncio.sleep(0.5)
        if claim.destination == "dead.example":
            return RetryLater("answered 503")
        if claim.destination == "good.example":
            self.good.set()
        return Delivered()


@pytest.mark.parametrize("host", ["steady.example", "dead.example"])
async def test_a_backlog_of_one_receiver_keeps_no_other_waiting(dsn: str, pool: Pool, host: str) -> None:
    """However long it is: a receiver that serves a hundred a second would need two minutes for this one."""
    adapter = SteadyFor()
    engine = await Engine(dsn, pool, adapter).start()
    for _ in range(12):
        await engine.publish(to(host, 1_000))
    context = JobContext()
    task = asyncio.create_task(engine.relay.run(context))
    try:
        async with asyncio.timeout(20):
            while len(adapter.seen) < 5:
                await asyncio.sleep(0.01)
        for _ in range(3):
            adapter.good.clear()
            await engine.publish(to("good.example", 1))
            async with asyncio.timeout(5):
                await adapter.good.wait()
    finally:
        context.stop.set()
        engine.wakeup.wake_all()
        await task
