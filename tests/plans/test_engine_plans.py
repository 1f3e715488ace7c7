"""Nothing that the engine, a scrape or a probe does reads a growing table from end to end.

What PostgreSQL counted is believed, not what it would plan: so statements inside functions are seen too.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from postroom.base.db import Pool, connect, open_pool, transaction
from postroom.health.crowding import check_crowding
from postroom.metrics.gauges import read_gauges
from postroom.outbox import store
from postroom.outbox.cursor import START
from postroom.outbox.engine import crowd
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import replay_dead_letters, replay_one
from postroom.outbox.model import Cause, Delivered, RetryLater
from postroom.outbox.policy import Settlement, Verdict, delivered
from tests.fixtures.engine import Engine, ScriptedAdapter, email
from tests.plans.ledger_of_size import FILL, grows

SCANS = "select relname, seq_scan from pg_stat_user_tables where schemaname = 'postroom'"
OTHERS = """
select count(*) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""
RETRY = Settlement(Verdict.RETRY, "retry", 60.0, "busy")
DEAD = Settlement(Verdict.DEAD, "rejected", reason="gone", cause=Cause.PERMANENT)


async def scans(dsn: str) -> dict[str, int]:
    """Sequential scans of growing tables so far. Waits for connections to end: then theirs are counted."""
    pool = await open_pool(dsn, connections_max=1)
    try:
        async with asyncio.timeout(30):
            while await pool.fetchval(OTHERS):
                await asyncio.sleep(0.05)
        return {row["relname"]: row["seq_scan"] for row in await pool.fetch(SCANS) if grows(row["relname"])}
    finally:
        await pool.close()


async def scanned_by(work: Callable[[str, Pool], Awaitable[None]], dsn: str) -> dict[str, int]:
    """How often the work read each growing table from end to end; only those that it did."""
    before = await scans(dsn)
    assert before.keys() >= {"message", "delivery", "dead_letter"}
    pool = await open_pool(dsn)
    await work(dsn, pool)
    await pool.close()
    return {
        table: count - before[table] for table, count in (await scans(dsn)).items() if count > before[table]
    }


async def publish_and_deliver(dsn: str, pool: Pool) -> None:
    """Every statement of the busy paths, and of callers who wait: publish, claim, settle, cancel, replay."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    [known, *_] = await engine.publish([email(key=f"plan{n}") for n in range(200)])
    await engine.publish([email(key=f"plan{n}", ordering_key="one") for n in range(150, 250)])
    await pool.fetchval("select postroom.publish('email', '{}', key => 'plan1')")
    await pool.fetchval('select postroom.publish(\'webhook\', \'{"tenant": "t", "type": "a.b"}\')')
    claims = await engine.claim(60)
    ends = [(claim, delivered(), 1) for claim in claims[:40]]
    mixed = [(claims[40], DEAD, 1), (claims[41], DEAD, 1), (claims[42], RETRY, 1)]
    async with transaction(pool) as conn:
        await store.settle_claims(conn, ends)
        await store.settle_claims(conn, mixed)
        await store.claim_around(
            conn, channel="email", worker=engine.worker.id, first_max=50, retry_max=50,
            cursor=START.after(claims), full=["elsewhere"], tenants=["a"], scan_max=1_000,
        )  # fmt: skip
        await store.fetch_scan_end(conn, channel="email", cursor=START, scan_max=1_000)
        await store.count_due(conn, channel="email", most=1_000)
        await store.put_off(conn, channel="email", delays_s={"elsewhere": 1.0}, scan_max=1_000)
        await store.fetch_next_due_s(conn, channel="email")
        await store.take_expiring(conn, batch_max=1_000)
        await store.claim_expiring(conn, worker=engine.worker.id, message_ids=[known])
        end = await store.fetch_aged_scan_end(conn, age_s=-60.0, after=UUID(int=0), scan_max=5_000)
        assert end is not None
        ages = {"email": 86_400.0, "webhook": 86_400.0}
        assert not await store.claim_aged(
            conn, worker=engine.worker.id, ages_s=ages, parked_s=86_400.0, after=UUID(int=0), upto=end
        )
        await store.mark_started(conn, claims[50:55])
        await store.hand_back(conn, channel="stripe", worker=engine.worker.id, before=None)
        await store.cancel_message(conn, message_id=known)
        assert await replay_one(conn, claims[40].message_id, actor="test") == 1
        permanent = DeadLetterFilter(channels=("email",), cause="permanent")
        replayed = await replay_dead_letters(conn, permanent, actor="test", limit=10)
        assert replayed.count == 1
    assert await engine.rescuer.rescue(ttl_s=-1) > 5, "everybody is dead"


async def scrape_and_probe(_dsn: str, pool: Pool) -> None:
    async with transaction(pool) as conn:
        gauges = await read_gauges(conn)
        await check_crowding(conn)
    assert sum(queue.waiting for queue in gauges.queues) > 10_000


@pytest.mark.rows_by_hand
@pytest.mark.parametrize("work", [publish_and_deliver, scrape_and_probe])
async def test_no_busy_path_scans_a_growing_table(
    dsn: str, pool: Pool, work: Callable[[str, Pool], Awaitable[None]]
) -> None:
    await pool.execute(FILL)
    await pool.close()
    assert await scanned_by(work, dsn) == {}


PLANNED = """
select max(generic_plans) as once, max(custom_plans) as anew from pg_prepared_statements
where statement like '%insert into postroom.claim_batch%'"""


async def test_a_session_plans_its_claims_once(dsn: str, pool: Pool) -> None:
    """For the values of each, it takes longer than a claim of a few."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    async with engine.runner.acquire() as conn:
        for _ in range(7):
            await store.claim_due(conn, channel="email", worker=1, first_max=1, retry_max=1)
        [planned] = await conn.fetch(PLANNED)
    assert (planned["once"], planned["anew"]) == (7, 0)


EMPTIED = """
alter table postroom.delivery set (autovacuum_enabled = false);
analyze postroom.delivery"""


async def drain_what_came_at_once(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    for start in range(0, 20_000, 1_000):
        await engine.publish([email(key=f"burst{n}") for n in range(start, start + 1_000)])
    claims = await engine.claim(1_000)
    async with transaction(pool) as conn:
        await store.settle_claims(conn, [(claim, delivered(), 1) for claim in claims])


@pytest.mark.rows_by_hand
async def test_a_queue_that_was_empty_is_settled_along_its_index(dsn: str, pool: Pool) -> None:
    """To PostgreSQL, which saw it empty, reading all of it for each batch seems cheap."""
    await pool.execute(EMPTIED)
    await pool.close()
    assert await scanned_by(drain_what_came_at_once, dsn) == {}


FILLED_AND_EMPTIED = """
alter table postroom.delivery set (autovacuum_enabled = false, vacuum_truncate = false);
insert into postroom.delivery (message_id, channel, destination, due_at)
    select postroom.uuid7(), 'email', 'email', now() from generate_series(1, 20000);
delete from postroom.delivery"""
BELIEVED = "select reltuples = 0 and relpages > 100 from pg_class where oid = 'postroom.delivery'::regclass"
READ = "select sum(idx_tup_read) from pg_stat_user_indexes where relname = 'delivery'"


async def drain_with_retries(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    engine.adapter.answer = lambda claim: (
        RetryLater("busy", 3_600) if str(claim.key).endswith("7") else Delivered()
    )
    for start in range(0, 4_000, 1_000):
        await engine.publish([email(key=f"burst{n}") for n in range(start, start + 1_000)])
    assert await engine.drain() == 4_000


@pytest.mark.rows_by_hand
async def test_a_queue_that_vacuum_found_empty_is_read_no_further_than_needed(
    dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL believes that it has no row: then it sorts all that is due, and joins each with each."""
    monkeypatch.setattr(crowd, "LATE_S", math.inf)  # looking for other tenants has a pace of its own
    await pool.execute(FILLED_AND_EMPTIED)
    await pool.execute("vacuum analyze postroom.delivery")
    assert await pool.fetchval(BELIEVED), "it has pages and no row"
    await pool.close()
    await scans(dsn)  # so that all who wrote have left, and what they read is counted
    before = await counted(dsn, READ)
    assert "delivery" not in await scanned_by(drain_with_retries, dsn)
    assert await counted(dsn, READ) - before < 15 * 4_000


async def counted(dsn: str, statement: str) -> int:
    conn = await connect(dsn)
    try:
        return int(await conn.fetchval(statement))
    finally:
        await conn.close()
