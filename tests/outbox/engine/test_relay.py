"""The engine's promises, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from postroom.base.db import Pool, transaction
from postroom.base.errors import Conflict
from postroom.outbox import store
from postroom.outbox.ledger.balance import Balance, check_ledger
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import fetch_dry_run, replay_dead_letters, replay_one
from postroom.outbox.model import (
    Answer,
    Cause,
    Claim,
    Deferred,
    Delivered,
    Outcome,
    Rejected,
    RetryLater,
    Unknown,
    Wait,
)
from postroom.outbox.policy import settle
from postroom.worker.model import JobContext
from tests.fixtures.engine import AT_ONCE, Engine, ScriptedAdapter, email


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> AsyncIterator[Engine]:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    yield engine
    assert (await check_ledger(pool)).drift == 0


async def count(pool: Pool, table: str) -> int:
    counted: int = await pool.fetchval(f"select count(*) from postroom.{table}")
    return counted


async def settle_one(engine: Engine, claim: Claim, outcome: Outcome) -> bool:
    settlement = settle(outcome, attempts=claim.attempts, backoff=engine.backoff, jitter=0.5)
    async with transaction(engine.pool) as conn:
        return not await store.settle_claims(conn, [(claim, settlement, 1)])


async def test_what_is_published_is_delivered_once(engine: Engine, pool: Pool) -> None:
    ids = await engine.publish(email(f"k{i}") for i in range(300))
    assert await engine.drain() == 300
    assert sorted(ids) == sorted(claim.message_id for claim in engine.adapter.seen)
    assert await count(pool, "delivery") == 0
    assert await pool.fetchval("select count(*) from postroom.attempt where outcome = 'delivered'") == 300
    assert (
        await pool.fetchval(
            "select sum(value) from postroom.tally where name = 'email_outcome' and label = 'sent'"
        )
        == 300
    )


async def test_a_retry_waits_and_ends_as_a_dead_letter(engine: Engine, pool: Pool) -> None:
    engine.adapter.answer = lambda _: RetryLater("busy 17", code="451")
    await engine.publish([email()])
    for attempt in (1, 2, 3):
        await engine.drain()
        await engine.drain()  # nothing is due before its time
        assert attempt == len(engine.adapter.seen)
        await engine.travel(3600)
    letter = await pool.fetchrow("select * from postroom.dead_letter")
    assert letter is not None
    assert (letter["cause"], letter["attempts"], letter["reason"]) == ("passing", 3, "busy 17")
    assert await count(pool, "delivery") == 0


async def test_a_deferral_spends_no_attempt(engine: Engine, pool: Pool) -> None:
    engine.adapter.answer = lambda _: Deferred(Wait.CIRCUIT_OPEN, "open", 60)
    await engine.publish([email()])
    for _ in range(10):
        await engine.drain()
        await engine.travel(3600)
    row = await pool.fetchrow("select attempts, state, worker from postroom.delivery")
    assert row is not None
    assert tuple(row) == (0, "pending", None)
    assert (
        await pool.fetchval(
            "select value from postroom.tally where name = 'email_outcome' and label = 'circuit_open'"
        )
        == 10
    )


# Both statements that settle have the fence: one for what was delivered, one for all else.
@pytest.mark.parametrize(
    "outcome", [Delivered(), RetryLater("busy"), Rejected("gone"), Unknown("silence")], ids=repr
)
async def test_a_zombie_cannot_settle_what_was_taken_from_it(
    engine: Engine, dsn: str, pool: Pool, outcome: Outcome
) -> None:
    await engine.publish([email()])
    [claim] = await engine.claim()
    await engine.travel(60)
    other = await Engine(dsn, pool, ScriptedAdapter()).start()
    assert await other.rescuer.rescue() == 1
    assert not await settle_one(engine, claim, outcome)
    assert await count(pool, "delivery") == 1
    assert await pool.fetchval("select attempts from postroom.delivery") == 0, "it may not have been tried"
    assert await other.drain() == 1
    assert await pool.fetchval("select count(*) from postroom.attempt where outcome = 'abandoned'") == 1


async def test_a_claim_taken_again_by_the_same_worker_is_fenced_too(engine: Engine, pool: Pool) -> None:
    await engine.publish([email()])
    [first] = await engine.claim()
    assert await settle_one(engine, first, Deferred(Wait.DESTINATION_FULL, "full", 0))
    [second] = await engine.claim()
    assert not await settle_one(engine, first, Delivered())
    assert await settle_one(engine, second, Delivered())


async def test_a_message_that_kills_its_workers_ends_as_a_dead_letter(
    engine: Engine, dsn: str, pool: Pool
) -> None:
    """The first death makes it watched; each one after that spends an attempt, for it was surely started."""
    await engine.publish([email()])
    for spent in (0, 0, 1, 2):
        assert await pool.fetchval("select attempts from postroom.delivery") == spent
        victim = await Engine(dsn, pool, ScriptedAdapter()).start()
        claims = await victim.claim()
        assert len(claims) == 1
        async with transaction(pool) as conn:
            await store.mark_started(conn, [claim for claim in claims if claim.started_no is not None])
        await engine.travel(60)
        await engine.worker.beat()
        await engine.rescuer.rescue()
    assert await pool.fetchval("select cause from postroom.dead_letter") == "ours"


async def test_two_workers_share_without_double_work(engine: Engine, dsn: str, pool: Pool) -> None:
    other = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish(email() for _ in range(1_000))
    await asyncio.gather(engine.drain(), other.drain())
    seen = [claim.message_id for claim in engine.adapter.seen + other.adapter.seen]
    assert 1_000 == len(seen) == len(set(seen))


async def test_an_ordering_key_keeps_the_order_of_publication(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter(), AT_ONCE).start()
    await engine.publish(email(f"{i}", ordering_key=f"o{i % 3}") for i in range(60))
    failed: set[UUID] = set()

    def fail_each_once(claim: Claim) -> Answer:
        if claim.message_id in failed:
            return Delivered()
        failed.add(claim.message_id)
        return RetryLater("first time never works")

    engine.adapter.answer = fail_each_once
    while await engine.drain():
        pass
    for key in range(3):
        ended = [
            int(c.key or "") for c in engine.adapter.seen if c.ordering_key == f"o{key}" and c.attempts == 1
        ]
        assert ended == list(range(key, 60, 3))


async def test_first_attempts_are_not_starved_by_retries(engine: Engine) -> None:
    engine.adapter.answer = lambda _: RetryLater("no")
    await engine.publish(email() for _ in range(500))
    await engine.claim(0)
    async with transaction(engine.pool) as conn:
        await conn.execute("update postroom.delivery set state = 'retry', due_at = now() - interval '1 hour'")
    [fresh] = await engine.publish([email()])
    claims = await engine.claim(5)
    assert fresh in {claim.message_id for claim in claims}


async def test_deliver_at_is_kept_and_cancel_takes_it_back(engine: Engine, pool: Pool) -> None:
    async with transaction(pool) as conn:
        message_id = await conn.fetchval(
            "select postroom.publish('email', '{}', deliver_at => now() + interval '1 hour')"
        )
    assert await engine.drain() == 0
    async with transaction(pool) as conn:
        assert await store.cancel_message(conn, message_id=message_id) == 1
        assert await store.cancel_message(conn, message_id=message_id) == 0
    await engine.travel(7200)
    assert await engine.drain() == 0
    assert Balance(1, 0, 0, 0, 1) == await check_ledger(pool)


async def test_replaying_a_letter_twice_at_once_revives_it_once(engine: Engine, pool: Pool) -> None:
    engine.adapter.answer = lambda _: Rejected("mailbox unknown", code="550")
    [message_id] = await engine.publish([email()])
    await engine.drain()

    async def replay() -> int:
        async with transaction(pool) as conn:
            return await replay_one(conn, message_id, actor="test")

    results = await asyncio.gather(replay(), replay(), return_exceptions=True)
    assert results.count(1) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 1
    engine.adapter.answer = lambda _: Delivered()
    assert await engine.drain() == 1
    assert engine.adapter.seen[-1].message_id == message_id


async def test_replaying_many_by_filter_with_a_pace(engine: Engine, pool: Pool) -> None:
    engine.adapter.answer = lambda claim: Rejected(
        "x", cause=Cause.OURS if claim.tenant == "a" else Cause.PERMANENT
    )
    await engine.publish(email(tenant="a" if i % 2 else "b") for i in range(20))
    await engine.drain()
    ours = DeadLetterFilter(cause="ours")
    async with transaction(pool) as conn:
        seen = await fetch_dry_run(conn, ours)
        assert (seen.letters, seen.receivers, len(seen.sample)) == (10, 1, 10)
        assert (await replay_dead_letters(conn, ours, actor="test", limit=50, pace_per_s=2)).count == 10
    spread = await pool.fetchval(
        "select extract(epoch from max(due_at) - min(due_at)) from postroom.delivery"
    )
    assert pytest.approx(float(spread), abs=0.01) == 4.5
    assert await count(pool, "dead_letter") == 10


async def test_a_sleeping_relay_hears_of_new_work(engine: Engine) -> None:
    context = JobContext()
    tasks = [asyncio.create_task(engine.wakeup.listening()), asyncio.create_task(engine.relay.run(context))]
    try:
        async with asyncio.timeout(10):
            while not await engine.pool.fetchval("select exists (select from postroom.sleeper)"):
                await asyncio.sleep(0.01)
            await engine.publish([email()])
            while not engine.adapter.seen:
                await asyncio.sleep(0.001)
    finally:
        context.stop.set()
        engine.wakeup.wake_all()
        await tasks[1]
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert await count(engine.pool, "sleeper") == 0


async def test_an_adapter_that_raises_costs_an_attempt_and_nothing_else(engine: Engine, pool: Pool) -> None:
    def explode(_: Claim) -> Answer:
        raise ZeroDivisionError

    engine.adapter.answer = explode
    await engine.publish([email(), email()])
    await engine.drain()
    assert (
        await pool.fetchval("select count(*) from postroom.delivery where state = 'retry' and attempts = 1")
        == 2
    )


async def test_an_unknown_outcome_is_counted_and_tried_again(engine: Engine, pool: Pool) -> None:
    engine.adapter.answer = lambda _: Unknown("silence after DATA")
    await engine.publish([email()])
    await engine.drain()
    assert (
        await pool.fetchval(
            "select value from postroom.tally where name = 'email_outcome' and label = 'unknown'"
        )
        == 1
    )
    assert await pool.fetchval("select state from postroom.delivery") == "retry"


async def test_an_answer_that_cannot_be_stored_holds_up_nobody(engine: Engine, pool: Pool) -> None:
    def answer(claim: Claim) -> Answer:
        code = "2\x0000" if claim.key in ("k3", "k7") else "250"  # PostgreSQL keeps no NUL
        return RetryLater("later", 3_600, code=code) if claim.key == "k7" else Delivered(code)

    engine.adapter.answer = answer
    await engine.publish(email(f"k{n}") for n in range(10))
    with capture_logs() as logs:
        assert await engine.drain() == 10
    assert len(engine.adapter.seen) == 10, "nothing was sent twice"
    assert [line["event"] for line in logs].count("settle.refused") == 2
    codes = await pool.fetch("select outcome, code from postroom.attempt order by outcome, code nulls last")
    assert [tuple(row) for row in codes] == [
        *[("delivered", "250")] * 8,
        ("delivered", None),
        ("retry", None),
    ]
    assert await pool.fetchval("select last_reason from postroom.delivery") == (
        "what was answered cannot be stored"
    )


MEGABYTES = """
select postroom.publish('email', jsonb_build_object('to', 'a', 'text',
    (select string_agg(md5(random()::text), '') from generate_series(1, 100000))))
from generate_series(1, 6)"""


async def test_a_claim_ends_at_a_number_of_bytes(engine: Engine, pool: Pool) -> None:
    """What no longer fits is handed back with no attempt spent, and comes with the next claim."""
    await pool.execute(MEGABYTES)
    claims = await engine.claim()
    assert min(len(claim.payload) for claim in claims) > 3_000_000
    assert 1 < len(claims) < 6
    assert await pool.fetchval("select count(*) from postroom.delivery where worker is null") == 6 - len(
        claims
    )
    async with transaction(pool) as conn:
        await store.hand_back(conn, channel="email", worker=engine.worker.id, before=None)
    await engine.drain()
    assert len(engine.adapter.seen) == 6
    assert await pool.fetchval("select max(attempt) from postroom.attempt") == 1
