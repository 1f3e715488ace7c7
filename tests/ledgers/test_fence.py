"""What a ledger refuses to publish: tenants that are elsewhere. In every isolation level, with every door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import pytest

import postroom
from postroom.base.db import Connection, Pool, transaction
from postroom.base.errors import TenantElsewhere
from postroom.client.publish import publish
from postroom.health.moves import check_moves
from postroom.outbox.ledger.messages import LedgerFilter, Status, list_messages, list_waiting
from postroom.outbox.model import Channel, Message
from postroom.outbox.publish import publish_many

SLOTS: Final = ["here"] * 1024
NAME: Final = """
update postroom.ledger_directory set name = 'here', slots = $1
"""
PUT: Final = """
insert into postroom.ledger_tenant (tenant, ledger, epoch, step, source)
values ($1, $2, 7, $3::text, case when $3::text is not null then 'old' end)
on conflict (tenant) do update set ledger = excluded.ledger, step = excluded.step, source = excluded.source
"""
WAITING: Final = """
select count(*) from pg_locks where not granted and relation = 'postroom.ledger_tenant'::regclass
"""
MANY: Final = "select id from postroom.publish_many($1::text::jsonb)"


async def put(pool: Pool, tenant: str, ledger: str, step: str | None = None) -> None:
    async with transaction(pool) as conn:
        await conn.execute("select postroom.change_tenants()")
        await conn.execute(PUT, tenant, ledger, step)


def mail(tenant: str | None, **more: Any) -> dict[str, Any]:
    return {"channel": "email", "payload": {"to": "a@b.example"}, "tenant": tenant, **more}


@pytest.fixture
async def named(pool: Pool) -> Pool:
    await pool.execute(NAME, SLOTS)
    return pool


@pytest.fixture
async def other(dsn: str) -> AsyncIterator[Connection]:
    conn = await asyncpg.connect(dsn)
    yield conn
    await conn.close()


async def test_a_tenant_that_is_elsewhere_is_refused_with_its_place(named: Pool) -> None:
    await put(named, "gone", "there")
    refused = r"the tenant 'gone' is at the ledger there: publish it there"
    for call in (
        named.fetch(MANY, json.dumps([mail("here"), mail("gone")])),
        named.fetch(MANY, json.dumps([mail(f"t{n}") for n in range(150)] + [mail("gone")])),
        named.fetch(MANY, json.dumps([{**mail(None), "payload": {"tenant": "gone"}}])),
        named.fetchval("select postroom.publish('email', '{\"to\": \"x\"}', tenant => 'gone')"),
        named.fetchval('select postroom.publish(\'export\', \'{"dataset": "x", "tenant": "gone"}\')'),
    ):
        with pytest.raises(asyncpg.PostgresError, match=refused) as caught:
            await call
        assert caught.value.sqlstate == "PE001"
        assert json.loads(caught.value.detail or "") == {"tenant": "gone", "ledger": "there", "epoch": 7}
    assert await named.fetchval("select count(*) from postroom.message") == 0
    await named.fetch(MANY, json.dumps([mail("here"), mail(None)]))
    await named.fetchval("select postroom.publish('email', '{\"to\": \"x\"}', tenant => 'other')")
    assert await named.fetchval("select count(*) from postroom.message") == 3


async def test_python_is_told_with_a_type(named: Pool, other: Connection) -> None:
    await put(named, "gone", "there")
    message = Message(channel=Channel.EMAIL, payload={"to": "x"}, tenant="gone")
    with pytest.raises(postroom.TenantElsewhere) as caught:
        async with transaction(named) as conn:
            await publish_many(conn, [message])
    assert (caught.value.ledger, caught.value.epoch, caught.value.status) == ("there", 7, 503)
    with pytest.raises(TenantElsewhere, match="at the ledger there"):
        async with other.transaction():
            await publish(other, channel="email", payload={"to": "x"}, tenant="gone")


async def test_events_and_what_they_cause_stay_where_they_come_in(named: Pool) -> None:
    await put(named, "gone", "there")
    await named.fetch(MANY, json.dumps([{**mail("gone"), "channel": "stripe", "key": "self:evt_1"}]))
    await named.fetch(MANY, json.dumps([mail("gone", key="stripe:self:evt_1:0")]))
    await named.fetch(MANY, json.dumps([mail("gone", key="email-event:ses:00")]))


async def test_what_is_held_waits_in_no_lane(named: Pool) -> None:
    await put(named, "new", "here", "held")
    await named.fetch(MANY, json.dumps([mail("new", urgency="bulk"), mail("other")]))
    await named.fetch(MANY, json.dumps([mail("new", key=f"k{n}") for n in range(100)]))
    await named.fetchval("select postroom.publish('email', '{\"to\": \"x\"}', tenant => 'new')")
    states = await named.fetch(
        "select tenant, state, count(*) as n from postroom.delivery group by 1, 2 order by 1, 2"
    )
    assert [tuple(row) for row in states] == [
        ("new", "held", 101), ("new", "held_bulk", 1), ("other", "pending", 1),
    ]  # fmt: skip


async def test_whoever_changes_tenants_waits_for_those_who_have_published(
    named: Pool, other: Connection
) -> None:
    open_one = other.transaction()
    await open_one.start()
    await other.fetchval("select postroom.publish('email', '{\"to\": \"x\"}', tenant => 'moving')")
    with pytest.raises(asyncpg.LockNotAvailableError):
        await put(named, "moving", "there")
    await open_one.commit()
    await put(named, "moving", "there")


@pytest.mark.parametrize("single", [True, False])
async def test_whoever_waited_for_the_change_sees_it(named: Pool, other: Connection, single: bool) -> None:
    call = "select postroom.publish('email', '{\"to\": \"x\"}', tenant => 'moving')"
    await other.execute(call)  # planned before
    async with transaction(named) as conn:
        await conn.execute("select postroom.change_tenants()")
        await conn.execute(PUT, "moving", "there", None)
        late = asyncio.ensure_future(
            other.execute(call) if single else other.fetch(MANY, json.dumps([mail("moving")]))
        )
        await until_somebody_waits(named)
    with pytest.raises(asyncpg.PostgresError, match="at the ledger there"):
        await late


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("step", [None, "held"])
async def test_an_older_snapshot_is_told_to_try_again(
    named: Pool, other: Connection, isolation: Any, single: bool, step: str | None
) -> None:
    """It cannot see the change, and would publish under the rule of before."""
    call = "select postroom.publish('email', '{\"to\": \"x\"}', tenant => 'moving')"
    older = other.transaction(isolation=isolation)
    await older.start()
    await other.fetchval("select count(*) from postroom.message")
    await put(named, "moving", "there" if step is None else "here", step)
    with pytest.raises(asyncpg.SerializationError):
        await (other.execute(call) if single else other.fetch(MANY, json.dumps([mail("moving")])))
    await older.rollback()


async def test_a_snapshot_publishes_where_nothing_changed(named: Pool, other: Connection) -> None:
    async with other.transaction(isolation="repeatable_read"):
        await other.fetchval("select 1")
        await other.execute("select postroom.publish('email', '{\"to\": \"x\"}', tenant => 'x')")
        async with transaction(named) as conn:
            await conn.execute("set transaction isolation level serializable")
            await conn.fetch(MANY, json.dumps([mail("x")]))
    assert await named.fetchval("select count(*) from postroom.message") == 2


async def until_somebody_waits(pool: Pool) -> None:
    async with asyncio.timeout(10):
        while not await pool.fetchval(WAITING):
            await asyncio.sleep(0.01)


async def test_the_doctor_tells_of_a_move_that_stands(named: Pool) -> None:
    await put(named, "moving", "there", "fenced")
    async with named.acquire() as conn:
        assert await check_moves(conn) == []
        await conn.execute("update postroom.ledger_tenant set changed_at = now() - interval '11 minutes'")
        [finding] = await check_moves(conn)
    assert finding.text == "its move from old to there has stood for 11 min: the old ledger refuses it"
    assert finding.command == "postroom ledger move --tenant moving --to there"


async def test_what_is_held_is_listed_as_waiting(named: Pool) -> None:
    await put(named, "new", "here", "held")
    await named.fetch(MANY, json.dumps([mail("new")]))
    async with transaction(named) as conn:
        waiting = await list_waiting(conn, LedgerFilter(status=Status.PENDING))
        [message] = (await list_messages(conn, LedgerFilter(status=Status.PENDING))).rows
    assert (len(waiting.rows), message.status) == (1, Status.PENDING)
