"""One tenant's backlog does not keep the others waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from postroom.base.db import Pool, transaction
from postroom.outbox import store
from postroom.outbox.cursor import START
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import replay_dead_letters
from postroom.outbox.model import Answer, Channel, Claim, Delivered, Message, Rejected, RetryLater
from postroom.outbox.pauses import mark_paused
from postroom.resilience.breaker import Trip
from postroom.worker.model import JobContext
from tests.fixtures.engine import AT_ONCE, Engine, ScriptedAdapter, email

MANY = """
select postroom.publish_many(jsonb_agg(jsonb_build_object(
    'channel', 'email', 'payload', '{"tenant": "paid"}'::jsonb,
    'tenant', case when n % 2 = 0 then 'told' end)))
from generate_series(1, $1) n
"""
TENANTS = "select d.tenant, count(*) from postroom.delivery d join postroom.message m on m.id = d.message_id"


async def test_every_way_to_queue_says_whose_it_is(dsn: str, pool: Pool) -> None:
    await pool.execute("select postroom.publish('email', '{\"tenant\": \"paid\"}', tenant => 'told')")
    await pool.execute("select postroom.publish('email', '{\"tenant\": \"paid\"}', ordering_key => 'k')")
    await pool.execute("select postroom.publish('email', '{}')")
    await pool.execute(MANY, 10)
    await pool.execute(MANY, 100)  # with plain inserts
    assert await pool.fetchval(f"{TENANTS} where d.tenant is distinct from m.tenant group by 1") is None
    assert dict(await pool.fetch(f"{TENANTS} group by 1")) == {"told": 56, "paid": 56, "": 1}
    engine = await Engine(dsn, pool, ScriptedAdapter(lambda _: Rejected("no such mailbox"))).start()
    await engine.drain()
    async with transaction(pool) as conn:
        assert (await replay_dead_letters(conn, DeadLetterFilter(), actor="ada", limit=200)).count == 113
    assert dict(await pool.fetch(f"{TENANTS} group by 1")) == {"told": 56, "paid": 56, "": 1}


async def test_a_claim_goes_around_tenants(dsn: str, pool: Pool) -> None:
    """What older code queued has no tenant: nobody can go around it."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    for tenant, count in (("a", 20), ("b", 2), ("a", 20), ("old", 1)):
        await engine.publish(email(tenant=tenant) for _ in range(count))
    await pool.execute("update postroom.delivery set tenant = null where tenant = 'old'")
    async with transaction(pool) as conn:
        claims = await store.claim_around(
            conn, channel="email", worker=engine.worker.id, first_max=10, retry_max=1, cursor=START,
            full=[], tenants=["a"], scan_max=1_000,
        )  # fmt: skip
    assert [claim.tenant for claim in claims] == ["b", "b", "old"]


SOON = 2_000
"""Attempts of 20,000 that wait: others are looked for ten times a second, and up to 8,000 begin in one."""


class Paced(ScriptedAdapter):
    """Takes 5 ms for each, and notes how many others it had begun since a message was published."""

    concurrency_max = 40
    timeout_s = 60.0  # who is stalled must not be tried again meanwhile

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel=channel)
        self.one_for_all = channel is Channel.EMAIL
        self.circuit = "email" if self.one_for_all else None
        self.per_destination_max = 5 if self.one_for_all else 8
        self.published_at: dict[str, int] = {}
        self.passed_by: dict[str, int] = {}
        self.stalled: str | None = None
        self.opened = asyncio.Event()

    async def deliver(self, claim: Claim) -> Answer:
        if claim.key in self.published_at:
            self.passed_by[claim.key] = len(self.seen) - self.published_at[claim.key]
        self.seen.append(claim)
        await asyncio.sleep(0.005)
        if claim.tenant == self.stalled:
            await self.opened.wait()
        return self.answer(claim)

    def count(self, tenant: str) -> int:
        return sum(claim.tenant == tenant for claim in self.seen)


def of(tenant: str, number: int, channel: Channel, *, key: str | None = None, **more: Any) -> Message:
    """To one of 12 receivers of the tenant's own, where the channel has receivers."""
    if channel is Channel.EMAIL:
        return email(key=key, tenant=tenant, **more)
    payload = {"url": f"https://{tenant}{number % 12}.example/", "type": "t"}
    return Message(channel="webhook", payload=payload, key=key, tenant=tenant, **more)


async def queue(engine: Engine, tenant: str, count: int, **more: Any) -> None:
    for start in range(0, count, 1_000):
        size = min(1_000, count - start)
        await engine.publish(of(tenant, n, Channel(engine.adapter.channel), **more) for n in range(size))


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[None]:
    context = JobContext()
    task = asyncio.create_task(engine.relay.run(context))
    try:
        yield
    finally:
        context.stop.set()
        engine.wakeup.wake_all()
        await task
    assert (await check_ledger(engine.pool)).drift == 0


async def until(true: Callable[[], bool], within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.005)


async def paced(dsn: str, pool: Pool, channel: Channel) -> tuple[Engine, Paced]:
    adapter = Paced(channel)
    return await Engine(dsn, pool, adapter).start(), adapter


async def pass_by(engine: Engine, adapter: Paced, tenant: str, count: int) -> list[int]:
    """Publish one after the other. Returns: how many attempts began before each one's first, in order."""
    for n in range(count):
        key = f"{tenant}{n}-{len(adapter.seen)}"
        adapter.published_at[key] = len(adapter.seen)
        await engine.publish([of(tenant, n, Channel(adapter.channel), key=key)])
        await until(partial(adapter.passed_by.__contains__, key))
    return sorted(list(adapter.passed_by.values())[-count:])


CHANNELS = pytest.mark.parametrize("channel", [Channel.EMAIL, Channel.WEBHOOK])


@CHANNELS
async def test_another_tenants_messages_pass_a_backlog(dsn: str, pool: Pool, channel: Channel) -> None:
    engine, adapter = await paced(dsn, pool, channel)
    await queue(engine, "a", 20_000)
    async with running(engine):
        await until(lambda: len(adapter.seen) > 700)
        passed_by = await pass_by(engine, adapter, "b", 30)
        assert adapter.count("a") < 15_000, "the backlog ended too soon to prove anything"
        assert passed_by[27] < SOON, passed_by
        before = adapter.count("a")
        await until(lambda: adapter.count("a") > before + 300)


@CHANNELS
async def test_a_small_backlog_beside_a_large_one_is_not_behind_it(
    dsn: str, pool: Pool, channel: Channel
) -> None:
    """Each has more than can be sent at once; the one who came later gets its part at once."""
    engine, adapter = await paced(dsn, pool, channel)
    await queue(engine, "a", 20_000)
    async with running(engine):
        await until(lambda: len(adapter.seen) > 700)
        await queue(engine, "b", 18_000)
        began = len(adapter.seen)
        await until(lambda: adapter.count("b") > 600)
        assert len(adapter.seen) - began < 2_400, "who came later does not wait"
        await until(lambda: any(claim.crowds and claim.tenant == "b" for claim in adapter.seen[-50:]))
        a, b = adapter.count("a"), adapter.count("b")
        passed_by = await pass_by(engine, adapter, "c", 20)
        assert passed_by[17] < SOON, passed_by
        await until(lambda: adapter.count("a") > a + 300 and adapter.count("b") > b + 300)
        assert 0.2 < (adapter.count("a") - a) / (len(adapter.seen) - a - b) < 0.8, "in turns"
        assert adapter.count("b") < 18_000, "the second backlog ended too soon to prove anything"


async def test_what_others_had_embedded_in_the_backlog_is_found(dsn: str, pool: Pool) -> None:
    engine, adapter = await paced(dsn, pool, Channel.EMAIL)
    for tenant, count in (("a", 12_000), ("b", 30), ("a", 12_000), ("b", 5), ("a", 500)):
        await queue(engine, tenant, count)
    async with running(engine):
        await until(lambda: adapter.count("b") == 35)
        assert len(adapter.seen) < 18_000, "it waited for its turn"


async def test_one_tenant_alone_has_everything_and_nothing_is_passed_by(dsn: str, pool: Pool) -> None:
    engine, adapter = await paced(dsn, pool, Channel.EMAIL)
    adapter.per_destination_max = 40
    await engine.start()
    await queue(engine, "a", 300, ordering_key="k0")
    for n in range(40):
        await queue(engine, "ab"[n % 2], 50, ordering_key=f"k{n % 7}" if n % 3 else None)
    assert await engine.drain() == 2_300
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0


async def test_beside_a_dead_receiver_of_its_own(dsn: str, pool: Pool) -> None:
    """A breaker is open, so that the claims go around a destination, too."""
    engine, adapter = await paced(dsn, pool, Channel.WEBHOOK)
    adapter.answer = lambda claim: (
        RetryLater("no", trip=Trip.NOW) if claim.destination == "b5.example" else Delivered()
    )
    await queue(engine, "a", 20_000)
    dead = [Message(channel="webhook", payload={"url": "https://b5.example/"}, tenant="b")] * 500
    async with running(engine):
        await engine.publish(dead)
        await until(lambda: len(adapter.seen) > 700)
        passed_by = await pass_by(engine, adapter, "b", 5)
        assert adapter.count("a") < 15_000, "the backlog ended too soon to prove anything"
        assert passed_by[4] < SOON, passed_by


async def test_order_and_retries_hold_beside_a_backlog(dsn: str, pool: Pool) -> None:
    engine, adapter = await paced(dsn, pool, Channel.EMAIL)
    engine.backoff = AT_ONCE
    await engine.start()
    adapter.answer = lambda claim: (
        RetryLater("busy", trip=Trip.NO) if claim.tenant == "b" and not claim.attempts else Delivered()
    )
    for start in range(0, 15_000, 1_000):
        await engine.publish(email(tenant="a", ordering_key=f"a{start + n}") for n in range(1_000))
    async with running(engine):
        await until(lambda: len(adapter.seen) > 700)
        began = len(adapter.seen)
        await engine.publish(email(f"b{n}", tenant="b", ordering_key="b") for n in range(15))
        await until(lambda: adapter.count("b") == 30)
        assert len(adapter.seen) - began < 1_500, "each waited for what was before it"
    assert [claim.key for claim in adapter.seen if claim.tenant == "b" and claim.attempts] == [
        f"b{n}" for n in range(15)
    ]


async def test_two_runners_go_around_the_same_tenant(dsn: str, pool: Pool) -> None:
    engine, adapter = await paced(dsn, pool, Channel.EMAIL)
    other = await Engine(dsn, pool, adapter).start()
    await queue(engine, "a", 20_000)
    async with running(engine), running(other):
        await until(lambda: len(adapter.seen) > 1_400)
        passed_by = await pass_by(engine, adapter, "b", 20)
        assert adapter.count("a") < 15_000, "the backlog ended too soon to prove anything"
        assert passed_by[17] < SOON, passed_by
    counts = Counter(claim.message_id for claim in adapter.seen)
    assert max(counts.values()) == 1


async def test_what_only_waited_is_handed_back_when_the_channel_is_paused(dsn: str, pool: Pool) -> None:
    engine, adapter = await paced(dsn, pool, Channel.EMAIL)
    await queue(engine, "a", 5_000)
    async with running(engine):
        await until(lambda: any(claim.crowds for claim in adapter.seen))
        async with transaction(pool) as conn:
            await mark_paused(conn, channel="email", reason="last year's letter", paused_by="ada")
        async with asyncio.timeout(20):
            while await pool.fetchval("select count(*) from postroom.delivery where worker is not null"):
                await asyncio.sleep(0.01)
    assert await pool.fetchval("select count(*) from postroom.delivery") == 5_000 - len(adapter.seen)


async def test_who_crowds_leaves_places_to_others(dsn: str, pool: Pool) -> None:
    """Its receivers do not answer: three quarters of the places are all that it holds."""
    engine, adapter = await paced(dsn, pool, Channel.WEBHOOK)
    held = "select count(*) from postroom.delivery where worker is not null and tenant = 'a'"
    await queue(engine, "a", 20_000)
    async with running(engine):
        await until(lambda: any(claim.crowds for claim in adapter.seen))
        await pass_by(engine, adapter, "b", 5)
        adapter.stalled = "a"
        before = len(adapter.seen)
        for _ in range(5):
            await pass_by(engine, adapter, "b", 3)
            assert await pool.fetchval(held) <= adapter.concurrency_max * 3 // 4
        assert len(adapter.seen) - before < 100, "they did answer"
        adapter.opened.set()
