"""What is urgent goes first, bulk has its share, and none of them starves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.outbox.engine.lane_claims import BULK_SHARE, URGENT_SHARE, LaneClaims
from postroom.outbox.lanes import LANES, Urgency
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.messages import LedgerFilter, Status, list_waiting
from postroom.outbox.ledger.replay import replay_dead_letters
from postroom.outbox.model import Answer, Claim, Delivered, Rejected, RetryLater
from postroom.worker.model import JobContext
from tests.fixtures.engine import Engine, ScriptedAdapter, email

URGENCY = {state: urgency for urgency, lane in LANES.items() for state in lane}

MANY = """
select postroom.publish_many(jsonb_agg(
    jsonb_build_object('channel', 'email', 'payload', '{}'::jsonb, 'urgency', u)))
from unnest(array['urgent', 'bulk', 'normal', null]) u, generate_series(1, $1)
"""


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> AsyncIterator[Engine]:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    yield engine
    assert (await check_ledger(pool)).drift == 0


async def publish(engine: Engine, **counts: int) -> None:
    for urgency, count in counts.items():
        for start in range(0, count, 1_000):
            size = min(1_000, count - start)
            await engine.publish(email(urgency=Urgency(urgency)) for _ in range(size))


def claims_of(engine: Engine) -> LaneClaims:
    return LaneClaims(pool=engine.pool, worker=engine.worker, channel="email", clock=SystemClock())


def counted(claims: list[Claim]) -> Counter[str]:
    return Counter(URGENCY[claim.state] for claim in claims)


async def test_each_gets_its_share_while_all_wait_and_the_rest_when_alone(engine: Engine) -> None:
    await publish(engine, bulk=2_000, normal=2_000, urgent=1_000)
    lanes = claims_of(engine)
    first: list[Claim] = []
    await lanes.claim(1, bulk_free=500)  # as a busy relay: from now on it looks what else waits
    await asyncio.sleep(0.06)
    for _ in range(10):
        first += await lanes.claim(100, bulk_free=500)
    shares = counted(first)
    assert shares[Urgency.URGENT] == pytest.approx(len(first) * URGENT_SHARE, abs=40)
    assert shares[Urgency.BULK] == pytest.approx(len(first) * 0.25 * BULK_SHARE, abs=5)
    assert {URGENCY[claim.state] for claim in first[:30]} == {Urgency.URGENT}, "they go first"
    while claims := await lanes.claim(100, bulk_free=500):
        first += claims
    assert len(first) == 4_999
    assert counted(first[-1_000:]) == {Urgency.BULK: 1_000}, "alone it gets everything"


async def test_bulk_does_not_starve_where_nothing_is_normal(engine: Engine) -> None:
    """What normal ones leave is for the urgent, but for the share of bulk."""
    await publish(engine, bulk=100, urgent=1_500)
    lanes = claims_of(engine)
    claims = [claim for _ in range(10) for claim in await lanes.claim(100, bulk_free=500)]
    assert counted(claims)[Urgency.BULK] == pytest.approx(len(claims) * 0.25 * BULK_SHARE, abs=8)
    assert len(claims) > 950


async def test_one_at_a_time_nobody_starves(engine: Engine) -> None:
    await publish(engine, bulk=200, normal=200, urgent=200)
    engine.adapter.concurrency_max = engine.adapter.per_destination_max = 1
    await engine.drain()
    order = [URGENCY[claim.state] for claim in engine.adapter.seen]
    assert counted(engine.adapter.seen) == dict.fromkeys(Urgency, 200)
    begin = Counter(order[10:210])
    assert begin[Urgency.URGENT] == pytest.approx(150, abs=5)
    assert begin[Urgency.NORMAL] == pytest.approx(45, abs=8)
    assert begin[Urgency.BULK] == pytest.approx(5, abs=3)


async def test_what_is_urgent_passes_a_long_backlog(engine: Engine, pool: Pool) -> None:
    """Published when 3,000 wait: it is among the next that go."""
    await publish(engine, normal=2_000, bulk=1_000)
    late: list[int] = []

    def answer(claim: Claim) -> Answer:
        if claim.state == LANES[Urgency.URGENT].first:
            late.append(len(engine.adapter.seen))
        return Delivered()

    engine.adapter.answer = answer
    engine.adapter.gate = asyncio.Event()
    stop = asyncio.Event()
    running = asyncio.create_task(engine.relay.run(JobContext(stop=stop)))
    try:
        async with asyncio.timeout(10):
            while len(engine.adapter.seen) < 10:
                await asyncio.sleep(0.01)
        await publish(engine, urgent=1)
        engine.adapter.gate.set()
        async with asyncio.timeout(20):
            while await pool.fetchval("select count(*) from postroom.delivery"):
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await running
    assert late[0] < 1_500, "it went before what had waited longer"


async def test_bulk_leaves_places_to_what_comes_meanwhile(engine: Engine) -> None:
    """Its receiver does not answer: three quarters of the places are all that it ever holds."""
    engine.adapter.gate = asyncio.Event()
    await publish(engine, bulk=200)
    stop = asyncio.Event()
    running = asyncio.create_task(engine.relay.run(JobContext(stop=stop)))
    try:
        async with asyncio.timeout(10):
            while len(engine.adapter.seen) < 37:
                await asyncio.sleep(0.01)
        await publish(engine, normal=1)
        async with asyncio.timeout(10):
            while counted(engine.adapter.seen)[Urgency.NORMAL] < 1:
                await asyncio.sleep(0.01)
        assert counted(engine.adapter.seen)[Urgency.BULK] == 37
        engine.adapter.gate.set()
    finally:
        stop.set()
        await running


async def test_a_retry_and_a_replay_keep_their_urgency(engine: Engine, pool: Pool) -> None:
    engine.adapter.answer = lambda _: RetryLater("busy")
    await publish(engine, bulk=1, urgent=1)
    await engine.drain()
    states = await pool.fetch("select state from postroom.delivery order by seq")
    assert [row["state"] for row in states] == ["retry_bulk", "retry_urgent"]
    async with transaction(pool) as conn:
        shown = await list_waiting(conn, LedgerFilter(status=Status.RETRY))
    assert {each.state for each in shown.rows} == {"retry"}, "the answers know two states"
    await engine.travel(3_600)
    engine.adapter.answer = lambda _: Rejected("no such mailbox")
    await engine.drain()
    async with transaction(pool) as conn:
        assert (await replay_dead_letters(conn, DeadLetterFilter(), actor="ada", limit=10)).count == 2
    states = await pool.fetch("select state from postroom.delivery order by seq")
    assert [row["state"] for row in states] == ["pending_bulk", "pending_urgent"]
    engine.adapter.answer = lambda _: Delivered()
    assert await engine.drain() == 2


@pytest.mark.parametrize("ordering_key", [None, "k"])
async def test_an_unknown_urgency_is_refused_by_name(pool: Pool, ordering_key: str | None) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="known are urgent, normal, bulk"):
        await pool.fetchval(
            "select postroom.publish('email', '{}', ordering_key => $1, urgency => 'asap')", ordering_key
        )
    assert await pool.fetchval("select count(*) from postroom.message") == 0


async def test_every_way_to_publish_puts_it_into_its_lane(pool: Pool) -> None:
    await pool.execute("select postroom.publish('email', '{}', urgency => 'bulk')")
    await pool.execute(MANY, 1)  # one by one
    await pool.execute(MANY, 100)  # with plain inserts
    rows = await pool.fetch("select state, count(*) from postroom.delivery group by 1")
    assert dict(rows) == {"pending_urgent": 101, "pending_bulk": 102, "pending": 202}


async def test_a_tenant_that_crowds_two_lanes_leaves_room_in_both_together(engine: Engine) -> None:
    for urgency in (Urgency.URGENT, Urgency.NORMAL):
        await engine.publish(email(tenant="a", urgency=urgency) for _ in range(1_000))
    await engine.pool.execute("update postroom.delivery set due_at = now() - interval '1 minute'")
    lanes = claims_of(engine)
    crowding: set[str] = set()
    async with asyncio.timeout(10):
        while len(crowding) < 2:
            await engine.publish([email(tenant="b", urgency=Urgency.URGENT), email(tenant="b")])
            await asyncio.sleep(0.05)  # how often it looks what else waits
            crowding |= {claim.state for claim in await lanes.claim(20, bulk_free=20) if claim.crowds}
    for _ in range(5):
        claims = await lanes.claim(40, bulk_free=10)
        assert sum(claim.crowds for claim in claims) <= 10


async def test_who_crowds_and_has_no_room_keeps_nothing_from_others(engine: Engine, pool: Pool) -> None:
    """Its share grows while it may take nothing; it is no reason to leave the others unclaimed."""
    lanes = claims_of(engine)
    await engine.publish(email(tenant="a") for _ in range(500))
    await pool.execute("update postroom.delivery set due_at = due_at - interval '1 min'")
    while not lanes.crowded:
        assert await lanes.claim(50, bulk_free=30), "it never came to crowd"
        await engine.publish([email(tenant="b")])
    while await lanes.claim(10, bulk_free=0):
        pass
    for _ in range(50):
        assert not await lanes.claim(10, bulk_free=0)
    await engine.publish([email(tenant="b")])
    async with asyncio.timeout(20):
        while not (claims := await lanes.claim(10, bulk_free=0)):
            await asyncio.sleep(0.05)
    assert [claim.tenant for claim in claims] == ["b"]
