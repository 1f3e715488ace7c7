"""`expires_at` reaches the ledger from wherever it is published, also while a ledger is upgraded."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from postroom.api.intake.event_model import check_events, parse_events
from postroom.base.db import Pool, transaction
from postroom.base.errors import InvalidPayload
from postroom.base.migrate import migrate
from postroom.outbox.model import Message
from postroom.outbox.publish import publish, publish_many

SOON = datetime(2030, 1, 1, tzinfo=UTC)


async def kept(pool: Pool) -> list[datetime | None]:
    rows = await pool.fetch("select expires_at from postroom.delivery order by message_id")
    return [row["expires_at"] for row in rows]


@pytest.mark.parametrize(
    "call",
    [
        "select postroom.publish('export', '{}', expires_at => '2030-01-01Z')",
        "select postroom.publish('webhook', '{\"url\": \"https://a.example\"}', expires_at => '2030-01-01Z')",
        "select * from postroom.publish_many(jsonb_build_array(jsonb_build_object("
        "'channel', 'email', 'payload', '{}'::jsonb, 'expires_at', '2030-01-01Z')))",
    ],
)
async def test_sql_keeps_it_with_the_delivery(pool: Pool, call: str) -> None:
    await pool.execute(call)
    assert await kept(pool) == [SOON]
    assert await pool.fetchval("select expires_at from postroom.expiring") == SOON


async def test_never_is_no_limit_and_long_ago_is_the_past(pool: Pool) -> None:
    for moment in ("infinity", "-infinity", "0001-01-01 00:00+00"):
        await pool.execute(f"select postroom.publish('email', '{{}}', expires_at => '{moment}')")
    assert await kept(pool) == [None, *[datetime(1970, 1, 1, tzinfo=UTC)] * 2]


@pytest.mark.parametrize("count", [2, 150], ids=["a few", "a large batch"])
async def test_python_keeps_it_and_a_known_key_changes_nothing(pool: Pool, count: int) -> None:
    messages = [Message(channel="email", payload={}, key=f"{n}", expires_at=SOON) for n in range(count)]
    async with transaction(pool) as conn:
        await publish_many(conn, messages)
        await publish(conn, Message(channel="email", payload={}, key="0"))
        await publish(
            conn, Message(channel="email", payload={}, key="0", expires_at=SOON + timedelta(days=1))
        )
    assert await kept(pool) == [SOON] * count
    assert await pool.fetchval("select count(*) from postroom.expiring where expires_at = $1", SOON) == count


async def test_all_deliveries_of_a_fan_out_expire_together(pool: Pool) -> None:
    for number in range(3):
        await pool.execute(
            "insert into postroom.endpoint (tenant, url, types, description, secret)"
            f" values ('acme', 'https://{number}.example', '{{*}}', '', 'x')"
        )
    async with transaction(pool) as conn:
        payload = {"tenant": "acme", "type": "t", "data": 1}
        await publish(conn, Message(channel="webhook", payload=payload, expires_at=SOON))
    assert await kept(pool) == [SOON] * 3


def test_http_refuses_what_would_end_before_it_begins() -> None:
    class Any_:
        def check(self, payload: dict[str, Any]) -> None: ...

    body = (
        b'{"channel": "email", "payload": {}, "deliver_at": "2030-01-01T00:00:00Z",'
        b' "expires_at": "2029-01-01T00:00:00Z"}'
    )
    events, many = parse_events(body)
    with pytest.raises(InvalidPayload) as refused:
        check_events(events, {"email": Any_()}, many=many)  # type: ignore[dict-item]
    assert refused.value.field == "expires_at"


BEFORE = """
drop function postroom.publish;
create function postroom.publish(channel text, payload jsonb, key text default null, tenant text default null,
    type text default null, correlation_id text default null, ordering_key text default null,
    deliver_at timestamptz default null, traceparent text default null) returns uuid
language sql as 'select null::uuid';
grant execute on function postroom.publish to pg_monitor;
drop table postroom.expiring;
alter table postroom.delivery drop column expires_at, drop column since;
alter table postroom.dead_letter drop constraint dead_letter_cause_check;
alter table postroom.dead_letter add constraint dead_letter_cause_check
    check (cause in ('passing', 'permanent', 'ours'));
update postroom.alembic_version set version_num = '0005'"""


async def test_an_upgrade_keeps_callers_and_their_rights(dsn: str, pool: Pool) -> None:
    await pool.execute(BEFORE)
    await migrate(dsn)
    rights = (
        "select has_function_privilege('pg_monitor', oid, 'execute') from pg_proc where proname = 'publish'"
    )
    assert [row[0] for row in await pool.fetch(rights)] == [True]
    assert await pool.fetchval(
        "select postroom.publish('email', '{}', 'k', null, null, 'c', null, now(), null)"
    )


async def test_an_upgrade_beside_a_long_transaction_keeps_no_publisher_waiting(dsn: str, pool: Pool) -> None:
    """It needs the ledger for a moment; whoever came behind it would wait for as long as it does."""
    await pool.execute(BEFORE)
    async with transaction(pool) as long:
        await long.execute(
            "insert into postroom.message (id, channel, payload, deliveries)"
            " values (postroom.uuid7(), 'email', '{}', 0)"
        )
        await long.execute("lock table postroom.delivery in row exclusive mode")
        upgrade = asyncio.create_task(migrate(dsn))
        async with asyncio.timeout(20):
            while not await pool.fetchval(
                "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and not granted"
            ):
                await asyncio.sleep(0.01)
        async with pool.acquire() as conn, asyncio.timeout(5):
            await conn.fetchval("select count(*) from postroom.delivery")
        assert not upgrade.done()
    async with asyncio.timeout(20):
        await upgrade
    assert await pool.fetchval("select postroom.publish('email', '{}')")
