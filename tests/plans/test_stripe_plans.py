"""What is asked of Stripe's events again and again is looked up, however many there are."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import pytest

from postroom.base.db import connect, query
from postroom.channels.stripe import drift

STATES = query("postroom.channels.stripe", "fetch_mirror_states")
EVENTS = """
insert into postroom.stripe_event
    (account, event_id, message_id, source, type, thin, event_created, livemode, object_id)
select 'self', 'evt_' || n, md5(n::text)::uuid, 'backfill', 'invoice.paid', false, now(), true, 'in_' || n
from generate_series(1, 20000) n"""
OBJECTS = """
insert into postroom.stripe_object
    (account, object_id, type, data, deleted, as_of, event_id, event_rank, fetched, livemode)
select 'self', 'in_' || n, 'invoice', '{}', false, now(), 'evt_' || n, 1, false, true
from generate_series(1, 20000) n"""
READ = """
select sum(seq_tup_read)::bigint from pg_stat_xact_user_tables
where relname in ('stripe_event', 'stripe_object')"""
PLANNED_GENERICALLY = 10


async def ask(conn: asyncpg.Connection[asyncpg.Record], *, batch: int = 10) -> list[asyncpg.Record]:
    ids = [await conn.fetchval("select md5($1)::uuid", str(n)) for n in range(1, batch + 1)]
    return await conn.fetch(STATES, ids, [f"in_{n}" for n in range(1, batch + 1)])


@pytest.mark.rows_by_hand
async def test_events_are_looked_up_by_a_plan_of_when_there_was_none(dsn: str) -> None:
    conn = await connect(dsn)
    try:
        await conn.execute("alter table postroom.stripe_event set (autovacuum_enabled = false)")
        await conn.execute("alter table postroom.stripe_object set (autovacuum_enabled = false)")
        for _ in range(PLANNED_GENERICALLY):
            assert await ask(conn) == []
        await conn.execute(EVENTS)
        await conn.execute(OBJECTS)
        async with conn.transaction():
            before = await conn.fetchval(READ)
            rows = await ask(conn)
            assert await conn.fetchval(READ) == before
        assert [row["mirrored_event_id"] for row in rows] == [f"evt_{n}" for n in range(1, 11)]
        assert {row["account"] for row in rows} == {"self"}
    finally:
        await conn.close()


@pytest.mark.rows_by_hand
async def test_only_events_since_the_last_look_are_read_for_the_silence_of_accounts(dsn: str) -> None:
    conn = await connect(dsn)
    try:
        at = datetime.now(UTC)
        await drift.begin(conn, account="self", live=True, keyed=True, at=at)
        await conn.execute(EVENTS)
        await conn.execute(
            "update postroom.stripe_event set raw = 'x',"
            " received_at = now() - substr(event_id, 5)::int * interval '1 minute'"
        )
        await conn.execute("vacuum analyze postroom.stripe_event")
        await conn.execute("update postroom.stripe_reconcile set looked_at = now() - interval '5 minutes'")
        async with conn.transaction():
            before = await conn.fetchval(READ)
            await drift.note_last_events(conn)
            assert await conn.fetchval(READ) == before
        [row] = await drift.list_drift(conn)
        assert row.silent_s is not None
        assert 50 < row.silent_s < 600
    finally:
        await conn.close()
