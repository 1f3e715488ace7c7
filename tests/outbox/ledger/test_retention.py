"""Retention: what it may forget, and that nothing keeps it from its work for good."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from postroom.base.db import Connection, Pool, connect, open_pool
from postroom.base.settings import RetentionSettings, Settings
from postroom.jobs.catalog import catalog
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.ledger.replay import replay_one
from postroom.outbox.ledger.retention import WITHIN_S, retention_job
from postroom.wiring import open_worker
from postroom.worker.model import JobContext
from tests.fixtures.engine import Engine, ScriptedAdapter, email
from tests.fixtures.roles import as_role, pool_as
from tests.plans.ledger_of_size import FILL
from tests.plans.test_engine_plans import OTHERS, scanned_by

DAYS = "select count(*) from pg_inherits where inhparent = 'postroom.attempt'::regclass"
DROP_DAY = "select format('drop table postroom.attempt_%s', to_char(current_date + $1::integer, 'YYYYMMDD'))"
TWO_ENDPOINTS = """
insert into postroom.endpoint (tenant, url, types, secret)
select 'acme', 'https://example.com/' || n, '{*}', 'whsec_' from generate_series(1, 2) n"""
BLOCKED = "select cardinality(pg_blocking_pids($1)) > 0"
ONE_DIED_LONG_AGO = """
with gone as (delete from postroom.delivery where n = 0 returning *)
insert into postroom.dead_letter
    (message_id, n, seq, channel, destination, endpoint_id, attempts, cause, fingerprint, reason, died_at)
select message_id, n, seq, channel, destination, endpoint_id, 8, 'passing', 'f', 'r',
    now() - interval '91 days'
from gone"""

THE_OTHER_IS_PARKED = "update postroom.delivery set due_at = 'infinity' where n = 1"
THE_OTHER_DIED_LATER = ONE_DIED_LONG_AGO.replace("n = 0", "n = 1").replace("91 days", "80 days")


async def retain(pool: Pool) -> int:
    async with asyncio.timeout(20):
        return await retention_job(pool=pool_as(pool, "runner"), keep=RetentionSettings()).run(
            JobContext(once=True)
        )


@pytest.mark.parametrize("other", [THE_OTHER_IS_PARKED, THE_OTHER_DIED_LATER])
async def test_a_payload_stays_while_another_delivery_of_it_may_still_go_out(pool: Pool, other: str) -> None:
    await pool.execute(TWO_ENDPOINTS)
    publish = 'select postroom.publish(\'webhook\', \'{"tenant": "acme", "type": "a", "data": {}}\')'
    message_id = await pool.fetchval(publish)
    await pool.execute(ONE_DIED_LONG_AGO)
    await pool.execute(other)
    await retain(pool)
    assert await pool.fetchval("select count(*) from postroom.dead_letter where n = 0") == 0
    kept = await pool.fetchval("select payload::text from postroom.message where id = $1", message_id)
    assert "acme" in kept


DIES = """
with gone as (delete from postroom.delivery where message_id = $1 returning *)
insert into postroom.dead_letter
    (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason)
select message_id, n, seq, channel, destination, 8, 'passing', 'f', 'r' from gone"""
A_MONTH_LATER = """
with first as materialized (select id from postroom.message order by id limit 8000)
update postroom.message m set created_at = created_at - interval '31 days' from first where m.id = first.id"""
FULL = "select count(*) from postroom.message where payload <> '{}'"
A_DAY_LATER = "update postroom.payload_kept set looked_at = looked_at - interval '25 hours'"


async def test_what_was_needed_on_day_30_leaves_once_it_has_ended(dsn: str, pool: Pool) -> None:
    """Dead or waiting when its time came, and sent after it: its payload stayed until day 400."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    dead, parked = await engine.publish([email("a"), email("b")])
    await pool.execute(DIES, dead)
    await pool.execute("update postroom.delivery set due_at = 'infinity' where message_id = $1", parked)
    await pool.execute("update postroom.message set created_at = created_at - interval '31 days'")
    await retain(pool)
    await pool.execute(A_DAY_LATER)
    await retain(pool)
    assert await pool.fetchval(FULL) == 2
    async with pool.acquire() as conn, conn.transaction():
        await replay_one(conn, dead, actor="test")
        await conn.execute("update postroom.delivery set due_at = now() where message_id = $1", parked)
    assert await engine.drain() == 2
    await retain(pool)
    assert await pool.fetchval(FULL) == 2  # each is looked at once a day
    await pool.execute(A_DAY_LATER)
    await retain(pool)
    assert await pool.fetchval(FULL) == 0
    assert await pool.fetchval("select count(*) from postroom.payload_kept") == 0


async def test_what_leaked_before_an_upgrade_leaves_after_it(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    [leaked, *_] = await engine.publish([email(), email()])
    assert await engine.drain() == 2
    await pool.execute("update postroom.message set created_at = created_at - interval '31 days'")
    await pool.execute("update postroom.message set payload = '{}' where id <> $1", leaked)
    await pool.execute(
        "update postroom.retention_mark set emptied_upto = 'ffffffff-ffff-ffff-ffff-ffffffffffff'"
    )
    await retain(pool)
    assert await pool.fetchval(FULL) == 0


async def test_a_log_without_todays_partition_gets_the_next_days(dsn: str, pool: Pool) -> None:
    """After a week without a runner the first attempts come before the first run of retention."""
    for day in range(8):
        await pool.execute(await pool.fetchval(DROP_DAY, day))
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish([email()])
    assert await engine.drain() == 1
    await retain(pool)
    assert await pool.fetchval(DAYS) == 1 + 7
    await pool.execute("update postroom.attempt set ended_at = now() - interval '91 days'")
    await retain(pool)
    assert await pool.fetchval("select count(*) from postroom.attempt") == 0


async def test_the_days_of_the_log_are_the_same_in_every_time_zone(dsn: str, pool: Pool) -> None:
    there = await connect(dsn)
    try:
        await there.execute("set timezone = 'Pacific/Kiritimati'")
        assert await there.fetchval("select postroom.make_attempt_partitions(10)") == 3
        await there.execute("set timezone = 'Pacific/Pago_Pago'")
        assert await there.fetchval("select postroom.make_attempt_partitions(13)") == 3
    finally:
        await there.close()


async def test_a_dump_of_the_log_does_not_hold_up_retention(dsn: str, pool: Pool) -> None:
    await pool.execute(await pool.fetchval(DROP_DAY, 7))
    before = await pool.fetchval(DAYS)
    dump = await connect(dsn)
    try:
        async with dump.transaction():
            await dump.execute("lock table postroom.attempt in access share mode")
            await retain(pool)
        assert await pool.fetchval(DAYS) == before
    finally:
        await dump.close()
    await retain(pool)
    assert await pool.fetchval(DAYS) == before + 1


async def test_two_runs_at_once_make_each_day_once(dsn: str, pool: Pool) -> None:
    """The job, and the same one by hand, as the page of AttemptPartitionsRunOut tells a person to run it."""
    before = await pool.fetchval(DAYS)
    job, person = await connect(dsn), await connect(dsn)
    try:
        async with job.transaction():
            assert await job.fetchval("select postroom.make_attempt_partitions(9)") == 2
            waiting = asyncio.create_task(person.fetchval("select postroom.make_attempt_partitions(9)"))
            async with asyncio.timeout(20):
                while not await pool.fetchval(BLOCKED, person.get_server_pid()):
                    await asyncio.sleep(0.01)
        assert await waiting == 0
        assert await pool.fetchval(DAYS) == before + 2
    finally:
        await job.close()
        await person.close()


READ = """
select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables
where schemaname = 'postroom' and relname = 'message'"""


async def rows_read(dsn: str) -> int:
    """Of the messages, by all who have left."""
    conn = await connect(dsn)
    try:
        async with asyncio.timeout(20):
            while await conn.fetchval(OTHERS):
                await asyncio.sleep(0.05)
        return int(await conn.fetchval(READ))
    finally:
        await conn.close()


@pytest.mark.rows_by_hand
async def test_a_run_with_nothing_to_do_does_not_read_the_ledger(dsn: str, pool: Pool) -> None:
    await pool.execute(FILL)
    await pool.execute("vacuum postroom.message")  # autovacuum would do it meanwhile, and its reads count
    await pool.close()
    before = await rows_read(dsn)
    pool = await open_pool(dsn)
    await retain(pool)
    await pool.close()
    assert await rows_read(dsn) - before < 5_000


@pytest.mark.rows_by_hand
async def test_what_waits_and_what_is_dead_is_found_by_index(dsn: str, pool: Pool) -> None:
    await pool.execute(FILL)
    await pool.execute(A_MONTH_LATER)
    await pool.close()

    async def work(_: str, pool: Pool) -> None:
        assert await retain(pool) == 8_000

    assert await scanned_by(work, dsn) == {}


async def test_a_message_of_a_long_transaction_takes_no_younger_one_along(dsn: str, pool: Pool) -> None:
    """Its time is older than its id, so it does not end the walk for those before it."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    younger, older, youngest = sorted(await engine.publish([email(), email(), email()]))
    assert await engine.drain() == 3
    aged = "update postroom.message set created_at = now() - make_interval(days => $2) where id = $1"
    await pool.execute(aged, older, 31)
    await retain(pool)
    await pool.execute(aged, younger, 31)
    await retain(pool)
    texts = await pool.fetch("select id from postroom.message where payload <> '{}'")
    assert [row["id"] for row in texts] == [youngest]


def id_of(moment: datetime) -> UUID:
    return UUID(f"{int(moment.timestamp() * 1_000):012x}7{0:019x}")


async def test_messages_go_after_400_days(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    far = datetime(2090, 1, 1, tzinfo=UTC)
    await engine.publish([email(expires_at=far), email(expires_at=far)])
    assert await engine.drain() == 2
    await check_ledger(pool)  # only what has been added up may go
    [one, _] = await pool.fetch("select id from postroom.message order by id")
    before = datetime.now(UTC) - timedelta(days=401)
    await pool.execute(
        "update postroom.message set id = $2, created_at = $3 where id = $1", one["id"], id_of(before), before
    )
    await pool.execute(
        "update postroom.expiring set message_id = $2 where message_id = $1", one["id"], id_of(before)
    )
    assert await pool.fetchval("select count(*) from postroom.message") == 2
    async with asyncio.timeout(30):  # another test's transaction on this server puts the adding up off
        while await pool.fetchval("select count(*) from postroom.message") == 2:
            await check_ledger(pool)
            await retain(pool)
    assert await pool.fetchval("select count(*) from postroom.message") == 1
    assert await pool.fetchval("select count(*) from postroom.expiring") == 1


A_THOUSAND = """
select count(*) from postroom.publish_many((
    select jsonb_agg('{"channel": "email", "payload": {"to": "ada@example.com"}}'::jsonb)
    from generate_series(1, 1000)))"""
ENDED_LONG_AGO = """
with ended as (delete from postroom.delivery)
update postroom.message set created_at = created_at - interval '31 days'"""


@pytest.mark.rows_by_hand
async def test_a_million_payloads_do_not_keep_the_rest_from_its_turn(pool: Pool) -> None:
    """The run was cut off after 5 minutes, as a failure, and what came last was never reached."""
    for _ in range(3):
        await pool.execute(A_THOUSAND)
    await pool.execute(ENDED_LONG_AGO)
    left: list[int] = []

    async def last(conn: Connection, limit: int) -> int:
        left.append(await conn.fetchval(FULL))
        return 0

    job = retention_job(pool=pool_as(pool, "runner"), keep=RetentionSettings(), extras=(last,))
    assert job.timeout_s > WITHIN_S
    assert await job.run(JobContext(once=True)) == 3_000
    assert left == [2_000]
    assert await pool.fetchval(FULL) == 0


PAST_THEIR_TIME = """
insert into postroom.message (id, channel, payload, deliveries, xid, created_at)
select overlay(postroom.first_id_at(moment)::text placing right(gen_random_uuid()::text, 21) from 16)::uuid,
    'email', '{}', 1, 0, moment
from generate_series(1, 9000) i,
    lateral (select now() - interval '500 days' + make_interval(secs => i)) at (moment)"""
THE_OLDEST_ARE_PARKED = """
insert into postroom.delivery (message_id, channel, destination, due_at)
select id, 'email', 'email', 'infinity' from postroom.message order by id limit 4000"""
ADDED_UP_AND_EMPTIED = """
with folded as (update postroom.ledger_fold set xid = 1)
update postroom.retention_mark set swept_upto = (select id from postroom.message order by id desc limit 1)"""


@pytest.mark.rows_by_hand
async def test_what_must_stay_is_looked_at_once_a_run(dsn: str, pool: Pool) -> None:
    """Each batch began with the oldest again: with a hundred thousand parked, most of a second."""
    for statement in (PAST_THEIR_TIME, THE_OLDEST_ARE_PARKED, ADDED_UP_AND_EMPTIED):
        await pool.execute(statement)
    await pool.close()
    before = await rows_read(dsn)
    pool = await open_pool(dsn)
    assert await retain(pool) == 5_000
    assert await pool.fetchval("select count(*) from postroom.delivery") == 4_000
    await pool.close()
    assert await rows_read(dsn) - before < 9_000 + 5_000 + 2_000


async def test_the_audit_trail_goes_after_two_years(dsn: str, pool: Pool, tmp_path: Path) -> None:
    await pool.execute(
        "insert into postroom.audit (at, actor, action) "
        "select now() - make_interval(days => d), 'cli', 'token.create:' || d "
        "from unnest(array[729, 731, 900]) d"
    )
    async with (
        open_worker(Settings(state_dir=tmp_path), as_role(dsn, "runner"), role="test") as parts,
        asyncio.timeout(20),
    ):
        await catalog(parts)["retention"].run(JobContext(once=True))
    kept = await pool.fetch("select action from postroom.audit where action like 'token.create:%'")
    assert [row["action"] for row in kept] == ["token.create:729"]
