"""What is too old dies, wherever it waits, is counted, and can be brought back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from postroom.base.db import Pool, transaction
from postroom.outbox import store
from postroom.outbox.engine.expirer import Ages, Expirer
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import replay_dead_letters
from postroom.outbox.model import Cause, Channel, Deferred, Message, Rejected, RetryLater, Wait
from postroom.outbox.policy import settle
from tests.fixtures.ageing import DAY_S, make_older
from tests.fixtures.engine import Engine, ScriptedAdapter, email
from tests.fixtures.roles import pool_as

AGES = Ages({Channel.EMAIL: timedelta(days=3), Channel.WEBHOOK: timedelta(days=5)}, parked=timedelta(days=30))


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> AsyncIterator[Engine]:
    engine = await Engine(dsn, pool, ScriptedAdapter(), age_max_s=AGES.of(Channel.EMAIL)).start()
    yield engine
    assert (await check_ledger(pool)).drift == 0


@pytest.fixture
def expirer(engine: Engine, pool: Pool) -> Expirer:
    return Expirer(pool=pool_as(pool, "runner"), worker=engine.worker, ages=AGES)


async def published_before(pool: Pool, engine: Engine, days: float, *messages: Message) -> None:
    await make_older(pool, days, await engine.publish(messages))


async def letters(pool: Pool) -> list[tuple[str, str, int]]:
    rows = await pool.fetch("select cause, reason, attempts from postroom.dead_letter order by message_id")
    return [tuple(row) for row in rows]


async def test_what_cannot_be_sent_for_days_dies_when_it_would_wait_once_more(
    engine: Engine, pool: Pool
) -> None:
    """After a long outage of the mail server, nobody wants the password reset of last week."""
    engine.adapter.answer = lambda _: Deferred(Wait.CIRCUIT_OPEN, "circuit email is open")
    await published_before(pool, engine, 2.9, email("young"))
    await engine.drain()
    assert await letters(pool) == []
    await engine.travel(3_600)
    async with transaction(pool) as conn:
        await conn.execute("update postroom.message set created_at = created_at - interval '3 hours'")
    await engine.drain()
    assert await letters(pool) == [("expired", "not delivered in time: circuit email is open", 0)]
    assert await pool.fetchval("select count(*) from postroom.attempt") == 0
    assert await pool.fetchval("select sum(value)::int from postroom.tally where name = 'expired'") == 1


async def test_a_retry_that_would_come_too_late_is_not_waited_for(engine: Engine, pool: Pool) -> None:
    engine.adapter.answer = lambda _: RetryLater("answered 503", after_s=3_600, code="503")
    in_half_an_hour = datetime.now(UTC) + timedelta(minutes=30)
    await engine.publish([email("soon", expires_at=in_half_an_hour), email("whenever")])
    await engine.drain()
    assert await letters(pool) == [("expired", "not delivered in time: answered 503", 1)]
    assert await pool.fetchval("select count(*) from postroom.attempt where outcome = 'retry'") == 2
    assert await pool.fetchval("select count(*) from postroom.delivery") == 1


async def test_what_is_past_its_own_time_is_not_even_tried(engine: Engine, pool: Pool) -> None:
    ids = await engine.publish([email("late", expires_at=datetime.now(UTC) - timedelta(seconds=1)), email()])
    assert await engine.drain() == 2
    assert [claim.message_id for claim in engine.adapter.seen] == [ids[1]]
    assert await letters(pool) == [("expired", "not delivered in time", 0)]


async def test_the_age_of_what_was_to_be_sent_later_begins_then(engine: Engine, pool: Pool) -> None:
    """A reminder for next month must not die of having been written early."""
    await engine.publish([email(deliver_at=datetime.now(UTC) + timedelta(days=10))])
    async with transaction(pool) as conn:
        await conn.execute("update postroom.message set created_at = created_at - interval '10 days'")
        await conn.execute("update postroom.delivery set due_at = now(), since = since - interval '10 days'")
    await engine.drain()
    assert len(engine.adapter.seen) == 1
    assert await letters(pool) == []


async def test_a_replay_gives_it_a_new_life(engine: Engine, pool: Pool) -> None:
    late = datetime.now(UTC) - timedelta(seconds=1)
    await published_before(pool, engine, 4, email("old"), email("late", expires_at=late))
    await engine.drain()
    assert [cause for cause, _, _ in await letters(pool)] == ["expired", "expired"]
    async with transaction(pool) as conn:
        wanted = DeadLetterFilter(cause=Cause.EXPIRED)
        await replay_dead_letters(conn, wanted, actor="ada", limit=10)
    await engine.drain()
    assert len(engine.adapter.seen) == 2
    assert await letters(pool) == []


async def test_what_is_sent_again_by_itself_is_no_younger_for_it(engine: Engine, pool: Pool) -> None:
    """After a long outage, the job that revives dead emails must not send the password reset of last week."""
    engine.adapter.answer = lambda _: Rejected("login refused", code="535", cause=Cause.OURS)
    await engine.publish([email("own", expires_at=datetime.now(UTC) + timedelta(hours=1)), email("old")])
    await engine.drain()
    await engine.travel(7_200)
    async with transaction(pool) as conn:
        await conn.execute("update postroom.dead_letter set expires_at = expires_at - interval '2 hours'")
        await conn.execute(
            "update postroom.message set created_at = created_at - interval '4 days' where key = 'old'"
        )
        await replay_dead_letters(conn, DeadLetterFilter(), actor="email-dlq", limit=10, replays_max=3)
    await engine.drain()
    assert [cause for cause, _, _ in await letters(pool)] == ["expired", "expired"]
    assert len(engine.adapter.seen) == 2, "both were tried once, in their time"


async def test_the_sweep_ends_what_nobody_claims(engine: Engine, expirer: Expirer, pool: Pool) -> None:
    hook = Message(channel="webhook", payload={"url": "https://a.example/", "type": "t", "data": 1})
    await published_before(pool, engine, 4, email("old"), hook)
    await published_before(pool, engine, 6, hook)
    await engine.publish(
        [hook, email("own", expires_at=datetime.now(UTC) - timedelta(seconds=1), deliver_at=None)]
    )
    async with transaction(pool) as conn:
        await conn.execute(
            "update postroom.delivery set due_at = now() + interval '1 hour', last_reason = 'open'"
        )
    assert await expirer.sweep() == 3
    assert set(await letters(pool)) == {("expired", "not delivered in time: open", 0)}
    assert await pool.fetchval("select count(*) from postroom.delivery where channel = 'webhook'") == 2
    assert await pool.fetchval("select count(*) from postroom.expiring") == 0
    assert await expirer.sweep() == 0


async def test_what_is_parked_waits_for_thirty_days(engine: Engine, expirer: Expirer, pool: Pool) -> None:
    for days in (29, 31):
        await published_before(pool, engine, days, email(f"{days}"))
    async with transaction(pool) as conn:
        await conn.execute("update postroom.delivery set due_at = 'infinity'")
    assert await expirer.sweep() == 1
    assert await pool.fetchval("select count(*) from postroom.delivery") == 1


async def test_a_dead_destination_keeps_no_more_than_its_age_allows(dsn: str, pool: Pool) -> None:
    """Sixty days of a receiver that never answers: its breaker put nearly all of it off without end."""
    adapter = ScriptedAdapter(lambda _: RetryLater("the connection was refused"), Channel.WEBHOOK)
    adapter.circuit, adapter.per_destination_max = None, 4
    engine = await Engine(dsn, pool, adapter, age_max_s=AGES.of(Channel.WEBHOOK)).start()
    expirer = Expirer(pool=pool_as(pool, "runner"), worker=engine.worker, ages=AGES)
    daily, most = 20, 0
    for _ in range(60):
        hook = Message(channel="webhook", payload={"url": "https://dead.example/", "type": "t", "data": 1})
        await engine.publish([hook] * daily)
        for _ in range(3):
            await engine.drain()
            await engine.travel(DAY_S / 3)
        ids = [row["id"] for row in await pool.fetch("select id from postroom.message")]
        await make_older(pool, 1, ids)
        await expirer.sweep()
        most = max(most, await pool.fetchval("select count(*) from postroom.delivery"))
    assert most <= 6 * daily
    assert "expired" in {cause for cause, _, _ in await letters(pool)}
    assert (await check_ledger(pool)).drift == 0


async def test_the_sweep_leaves_alone_what_is_under_way_and_goes_round(
    engine: Engine, expirer: Expirer, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postroom.outbox.engine.expirer.SCAN_MAX", 3)
    await published_before(pool, engine, 4, *(email(f"{n}") for n in range(10)))
    held = await engine.claim(2)
    assert await expirer.sweep() == 8
    async with transaction(pool) as conn:
        await conn.execute("update postroom.delivery set worker = null, claimed_at = null")
    assert await expirer.sweep() == 2, f"{len(held)} were held before"


async def test_what_is_under_way_when_its_time_is_over_is_found_later(
    engine: Engine, expirer: Expirer, pool: Pool
) -> None:
    await engine.publish([email(expires_at=datetime.now(UTC) + timedelta(seconds=60))])
    [claim] = await engine.claim(1)
    await engine.travel(61)
    assert await expirer.sweep() == 0
    # Put back and put off: an open breaker is not asked of the next claim, for there is none.
    async with transaction(pool) as conn:
        settlement = settle(
            Deferred(Wait.CIRCUIT_OPEN, "open"), attempts=0, backoff=engine.backoff, jitter=0.5
        )
        await store.settle_claims(conn, [(claim, settlement, 1)])
    assert await expirer.sweep() == 1


async def test_what_was_delivered_in_time_leaves_no_trace(
    engine: Engine, expirer: Expirer, pool: Pool
) -> None:
    await engine.publish([email(expires_at=datetime.now(UTC) + timedelta(hours=1))])
    await engine.drain()
    assert await pool.fetchval("select count(*) from postroom.expiring") == 1
    async with transaction(pool) as conn:
        await conn.execute("update postroom.expiring set expires_at = now()")
    assert await expirer.sweep() == 0
    assert await pool.fetchval("select count(*) from postroom.expiring") == 0
