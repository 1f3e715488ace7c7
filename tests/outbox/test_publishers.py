"""A publisher publishes, and does nothing else: what it may take, hold up, and where it may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final
from uuid import uuid4

import asyncpg
import pytest

from postroom.admin import publishers
from postroom.admin.audit import Actor
from postroom.base.db import Connection, Pool, transaction
from postroom.base.errors import InvalidInput, NotFound
from postroom.base.migrate import migrate
from postroom.outbox.ledger.story import fetch_message
from postroom.outbox.model import Message
from postroom.outbox.publish import publish_many
from tests.conftest import on_database, run_sql
from tests.fixtures.engine import Engine, ScriptedAdapter

MANY: Final = "select * from postroom.publish_many($1::text::jsonb)"
ONE: Final = 'select postroom.publish($1, \'{"to": "x"}\', key => $2, ordering_key => $3)'


@pytest.fixture
async def publisher(dsn: str, pool: Pool) -> AsyncIterator[Connection]:
    """A session of an application that may publish."""
    name = f"app_{uuid4().hex[:8]}"
    await pool.execute(f"create role {name} login password 'x' in role postroom_publisher")
    conn = await asyncpg.connect(dsn, user=name, password="x")
    try:
        yield conn
    finally:
        await conn.close()
        await pool.execute(f"drop role {name}")


@pytest.mark.parametrize(
    ("channel", "key"), [("stripe", "self:evt_1"), ("stripe", None), ("email", "stripe:self:evt_1:receipt")]
)
@pytest.mark.parametrize("size", [0, 1, 150])
async def test_a_publisher_takes_no_channel_and_no_key_of_ours(
    publisher: Connection, pool: Pool, channel: str, key: str | None, size: int
) -> None:
    """An event or an effect whose key was taken would be a duplicate of something that never was."""
    harmless = {"channel": "email", "payload": {"to": "x"}}
    for ordering_key in (None, "o"):
        taken = {**harmless, "channel": channel, "key": key, "ordering_key": ordering_key}
        many = json.dumps([harmless] * (size - 1) + [taken])
        call = publisher.execute(*((MANY, many) if size else (ONE, channel, key, ordering_key)))
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"the channel stripe and keys"):
            await call
    assert await pool.fetchval("select count(*) from postroom.message") == 0
    assert await pool.fetchval(ONE, channel, key, None)


async def test_a_far_deliver_at_holds_up_nothing_of_its_key(
    dsn: str, pool: Pool, publisher: Connection
) -> None:
    """What is scheduled goes at its time: it waits for nothing of its key, and nothing waits for it."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await publisher.execute(
        "select postroom.publish('email', '{}', 'far', ordering_key => 'o', deliver_at => now() + '1 day')"
    )
    for key in ("first", "second"):
        await publisher.execute(ONE, "email", key, "o")
    await engine.drain()
    assert [claim.key for claim in engine.adapter.seen] == ["first", "second"]
    await engine.travel(25 * 3_600)
    await engine.drain()
    assert [claim.key for claim in engine.adapter.seen][2:] == ["far"]


async def test_a_publisher_cannot_hold_up_what_stripe_sends(pool: Pool, publisher: Connection) -> None:
    """It holds every number that a lock on the object's events could have; they are booked beside it."""
    event = Message(channel="stripe", payload={}, key="self:evt_1", ordering_key="self:cus_1")
    number = "select pg_advisory_lock(hashtextextended('stripe:self:cus_1', 7265))"
    await publisher.execute(number)
    async with asyncio.timeout(5), pool.acquire() as conn:
        [booked] = await publish_many(conn, [event])
    assert booked.new
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await publisher.execute("begin; lock table postroom.intake_lock in access share mode")


async def test_events_of_one_object_are_booked_one_after_the_other(pool: Pool) -> None:
    """In the order of commits: whoever is second gets its number when the first has committed."""
    first, second = (
        Message(channel="stripe", payload={}, key=key, ordering_key="self:cus_1") for key in ("a", "b")
    )
    async with pool.acquire() as one, pool.acquire() as other:
        opened = one.transaction()
        await opened.start()
        await publish_many(one, [first])
        waiting = asyncio.create_task(publish_many(other, [second]))
        pid = other.get_server_pid()
        async with asyncio.timeout(10):
            while not await one.fetchval("select cardinality(pg_blocking_pids($1)) > 0", pid):
                await asyncio.sleep(0)
        assert not waiting.done()
        await opened.commit()
        await waiting
    order = (
        "select m.key from postroom.delivery d join postroom.message m on m.id = d.message_id order by seq"
    )
    assert [row["key"] for row in await pool.fetch(order)] == ["a", "b"]


async def test_while_the_database_is_upgraded_old_and_new_bookings_follow_each_other(pool: Pool) -> None:
    """A transaction that has begun with the function of before locks rows; the new one waits for it."""
    async with pool.acquire() as one, pool.acquire() as other:
        async with one.transaction():
            await one.execute("select from postroom.intake_lock where slot = any ('{1,2}') for no key update")
            waiting = asyncio.create_task(
                publish_many(other, [Message(channel="stripe", payload={}, key="a")])
            )
            pid = other.get_server_pid()
            async with asyncio.timeout(10):
                while not await one.fetchval("select cardinality(pg_blocking_pids($1)) > 0", pid):
                    await asyncio.sleep(0)
        await waiting


async def test_an_intake_that_stops_amid_its_transaction_gives_way(dsn: str, pool: Pool) -> None:
    """A process that was frozen, or whose machine is gone, would hold up what all the others take in."""
    frozen = await asyncpg.connect(dsn)
    await frozen.execute("begin")
    first, second = (
        Message(channel="stripe", payload={}, key=key, ordering_key=f"self:{key}") for key in ("a", "b")
    )
    await publish_many(frozen, [first])
    async with asyncio.timeout(30), pool.acquire() as conn:
        [booked] = await publish_many(conn, [second])
        assert await conn.fetchval("show idle_in_transaction_session_timeout") == "0", (
            "of its transaction alone"
        )
    assert booked.new
    with pytest.raises((asyncpg.IdleInTransactionSessionTimeoutError, asyncpg.InterfaceError)):
        await frozen.execute("commit")
    assert [row["key"] for row in await pool.fetch("select key from postroom.message")] == ["b"]


async def test_who_published_is_kept(pool: Pool, publisher: Connection) -> None:
    name = await publisher.fetchval("select session_user::text")
    for size in (1, 150):
        rows = await publisher.fetch(MANY, json.dumps([{"channel": "email", "payload": {}}] * size))
        async with pool.acquire() as conn:
            assert (await fetch_message(conn, rows[-1]["id"])).published_by == name
    one = await publisher.fetchval(ONE, "email", "k", None)
    ours = await pool.fetchval(ONE, "email", "l", None)
    async with pool.acquire() as conn:
        assert (await fetch_message(conn, one)).published_by == name
        assert (await fetch_message(conn, ours)).published_by == await conn.fetchval("select session_user")


async def test_a_role_publishes_in_its_own_database_alone(server_dsn: str) -> None:
    names = [f"roles_{uuid4().hex[:8]}", f"roles_{uuid4().hex}_{'x' * 20}"]
    app = f"app_{uuid4().hex[:8]}"
    databases = [on_database(server_dsn, name) for name in names]
    made: list[str] = []
    try:
        for name, dsn in zip(names, databases, strict=True):
            await run_sql(server_dsn, f'create database "{name}"')
            await migrate(dsn)
        conn = await asyncpg.connect(databases[0])
        role = await conn.fetchval(
            "select rolname from pg_roles where rolname = 'postroom_publisher_' || $1", names[0]
        )
        other = await conn.fetchval(
            "select rolname from pg_roles where rolname = 'postroom_publisher_' || md5($1)", names[1]
        )
        made = [role, other]
        await conn.execute(f"create role {app} login password 'x'; grant {role} to {app}")
        await conn.close()
        for dsn, may in zip(databases, (True, False), strict=True):
            conn = await asyncpg.connect(dsn, user=app, password="x")
            try:
                if may:
                    assert await conn.fetchval(ONE, "email", "k", None)
                else:
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await conn.fetchval(ONE, "email", "k", None)
            finally:
                await conn.close()
    finally:
        for name in names:
            await run_sql(server_dsn, f'drop database if exists "{name}" with (force)')
        for role in (app, *made):
            await run_sql(server_dsn, f"drop role if exists {role}")


async def test_a_shared_role_that_was_shut_out_of_a_database_stays_out(dsn: str, pool: Pool) -> None:
    await pool.execute("revoke usage on schema postroom from postroom_publisher")
    await migrate(dsn)
    assert not await pool.fetchval("select has_schema_privilege('postroom_publisher', 'postroom', 'usage')")


@pytest.mark.parametrize("size", [0, 1, 150])
@pytest.mark.parametrize(
    "case",
    [
        ("email", "acme", True),
        ("export", "acme", False),
        ("email", "globex", False),
        ("email", None, False),
    ],
)
async def test_a_role_publishes_within_its_limits_alone(
    publisher: Connection, pool: Pool, size: int, case: tuple[str, str | None, bool]
) -> None:
    """Whether the tenant stands beside the payload or in it, one message or one among many."""
    channel, tenant, within = case
    name = await publisher.fetchval("select session_user::text")
    async with transaction(pool) as conn:
        await publishers.allow(conn, name, tenants=["acme"], channels=["email"], actor=Actor("me"))
    fine = {"channel": "email", "tenant": "acme", "payload": {}}
    for beside in (True, False):
        payload = {} if beside else {"tenant": tenant}
        tried = {"channel": channel, "tenant": tenant if beside else None, "payload": payload}
        if size:
            call = publisher.execute(MANY, json.dumps([fine] * (size - 1) + [tried]))
        else:
            one = "select postroom.publish($1, $2::text::jsonb, tenant => $3)"
            call = publisher.execute(one, channel, json.dumps(payload), tried["tenant"])
        if within:
            await call
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match=f"{name} may not publish on the"):
                await call
    count = await pool.fetchval("select count(*) from postroom.message")
    assert count == (2 * max(size, 1) if within else 0)
    if within:
        return
    async with transaction(pool) as conn:
        [limit] = await publishers.list_limits(conn)
        assert (limit.role, limit.tenants, limit.channels) == (name, ["acme"], ["email"])
        await publishers.allow_all(conn, name, actor=Actor("me"))
    await publisher.execute(MANY, json.dumps([{"channel": channel, "tenant": tenant, "payload": {}}]))
    trail = await pool.fetch(
        "select detail::text from postroom.audit where action = 'publisher.allow' order by id"
    )
    new = {"tenants": ["acme"], "channels": ["email"]}
    assert [json.loads(row["detail"]) for row in trail] == [{"old": {}, "new": new}, {"old": new, "new": {}}]


async def test_a_role_without_the_channel_calls_nothing_at_stripe(publisher: Connection, pool: Pool) -> None:
    name = await publisher.fetchval("select session_user::text")
    call = """select postroom.publish('stripe_api', '{"method": "POST", "path": "/v1/refunds"}')"""
    for channels in (["email"], ["email", "stripe_api"]):
        async with transaction(pool) as conn:
            await publishers.allow(conn, name, tenants=None, channels=channels, actor=Actor("me"))
        if "stripe_api" in channels:
            assert await publisher.fetchval(call)
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="may not publish on the"):
                await publisher.fetchval(call)


async def test_a_limit_names_a_role_that_there_is_and_cannot_be_changed_by_it(
    publisher: Connection, pool: Pool
) -> None:
    async with transaction(pool) as conn:
        with pytest.raises(NotFound):
            await publishers.allow(conn, "nobody_here", tenants=["a"], channels=None, actor=Actor("me"))
        with pytest.raises(InvalidInput):
            await publishers.allow(conn, "postgres", tenants=None, channels=None, actor=Actor("me"))
    for statement in ("select * from postroom.publisher_limit", "delete from postroom.publisher_limit"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await publisher.execute(statement)
