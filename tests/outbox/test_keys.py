"""Idempotency keys: whose they are, what a known one tells, and how their index is changed."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

import asyncpg
import pytest

from postroom.base.db import Pool, transaction
from postroom.base.migrate import migrate
from postroom.encryption.keyring import NO_KEYS, Keyring, keyring_of
from postroom.outbox.model import Message
from postroom.outbox.publish import count_receivers, publish_many
from tests.fixtures.encryption import NEW, keys

KEYRING = keyring_of(keys(NEW))


@pytest.mark.parametrize("size", [0, 2, 150])
async def test_a_key_is_one_tenants_own(pool: Pool, size: int) -> None:
    """No tenant is a tenant of its own; whoever publishes a second time gets the first id."""
    names = ("a", "b", None)
    keys = [f"order:{number}" for number in range(max(1, size))]
    ids: list[list[UUID]] = []
    for tenant in (*names, *names):
        if size:
            messages = [Message(channel="email", payload={"to": "x"}, key=key, tenant=tenant) for key in keys]
            async with transaction(pool) as conn:
                ids.append([each.id for each in await publish_many(conn, messages)])
        else:
            call = "select postroom.publish('email', '{\"to\": \"x\"}', $1, tenant => $2)"
            ids.append([await pool.fetchval(call, keys[0], tenant)])
    assert ids[:3] == ids[3:]
    assert await pool.fetchval("select count(*) from postroom.message") == 3 * len(keys)


@pytest.mark.parametrize(
    ("channel", "key"), [("stripe", "acct:evt_1"), ("email", "stripe:acct:evt_1:receipt")]
)
async def test_an_event_of_stripe_is_one_whoever_it_is_about(pool: Pool, channel: str, key: str) -> None:
    call = "select postroom.publish($1, '{}', $2, tenant => $3)"
    ids = {await pool.fetchval(call, channel, key, tenant) for tenant in ("cus_1", "cus_2", None)}
    assert len(ids) == 1


@pytest.mark.parametrize("size", [0, 1, 150])
async def test_a_known_key_with_another_payload_is_told(dsn: str, pool: Pool, size: int) -> None:
    told: list[str] = []
    conn = await asyncpg.connect(dsn)
    conn.add_log_listener(lambda _, message: told.append(message.message))
    for to in ("x", "x", "y"):
        message = {"channel": "email", "payload": {"to": to}, "key": "welcome:1"}
        if size:
            await conn.fetch("select postroom.publish_many($1::text::jsonb)", json.dumps([message] * size))
        else:
            await conn.fetch(
                "select postroom.publish('email', jsonb_build_object('to', $1::text), 'welcome:1')", to
            )
    await conn.close()
    assert set(told) == {"email key welcome:1 is known with another payload: nothing was published"}
    assert len(told) == (size or 1)


@pytest.mark.parametrize("keys", [NO_KEYS, KEYRING], ids=["plain", "encrypted"])
async def test_whoever_counts_receivers_hears_of_another_payload(pool: Pool, keys: Keyring) -> None:
    first = Message(channel="email", payload={"to": "x", "n": 1.50}, key="1")
    messages = [first, first, Message(channel="email", payload={"to": "y"}, key="1")]
    async with transaction(pool) as conn:
        published = await publish_many(conn, messages, keyring=keys)
        described = await count_receivers(conn, messages, published, keyring=keys)
    assert [each.payload_differs for each in described] == [False, False, True]


KEYS_OF_BEFORE = """
drop index postroom.message_scoped_key;
create unique index message_key on postroom.message (key, channel) where key is not null;
update postroom.alembic_version set version_num = '0005'"""
INDEXES = """
select array_agg(indexrelid::regclass::text order by 1) from pg_index
where indrelid = 'postroom.message'::regclass and indexrelid::regclass::text like '%key'
    and indisunique and indisvalid and not indisprimary"""


async def test_the_index_of_keys_is_changed_beside_publishers(dsn: str, pool: Pool) -> None:
    """An open transaction holds the change up, and nobody else. With both a key is still everybody's."""
    await pool.execute(KEYS_OF_BEFORE)
    call = "select postroom.publish('email', '{}', 'order:42', tenant => $1)"
    first = await pool.fetchval(call, "a")
    assert await pool.fetchval(call, "b") == first
    async with asyncio.timeout(20), transaction(pool) as conn:
        await conn.execute("select postroom.publish('email', '{}', 'open')")
        upgrade = asyncio.create_task(migrate(dsn))
        while not await pool.fetchval("select count(*) from pg_index where not indisvalid"):
            await asyncio.sleep(0.01)
        assert await pool.fetchval(call, "b") == first
    await upgrade
    assert await pool.fetchval(INDEXES) == ["postroom.message_scoped_key"]
    assert await pool.fetchval(call, "a") == first
    assert await pool.fetchval(call, "b") != first


async def test_an_index_that_was_left_half_made_is_made_again(dsn: str, pool: Pool) -> None:
    await pool.execute(KEYS_OF_BEFORE)
    await pool.execute("select postroom.publish('email', '{}', 'k' || n) from generate_series(1, 2) n")
    conn = await asyncpg.connect(dsn)
    with pytest.raises(asyncpg.UniqueViolationError):
        await conn.execute(
            "create unique index concurrently message_scoped_key on postroom.message (channel)"
        )
    await conn.close()
    await asyncio.gather(migrate(dsn), migrate(dsn))
    assert await pool.fetchval(INDEXES) == ["postroom.message_scoped_key"]


async def test_a_known_key_is_found_by_its_index(pool: Pool) -> None:
    plan = await pool.fetch(
        "explain select id from postroom.message m where m.key = 'k' and m.channel = 'email'"
        " and postroom.key_scope(m.channel, m.key, m.tenant) = postroom.key_scope('email', 'k', 't')"
    )
    assert any("message_scoped_key" in row[0] for row in plan)
    [condition] = [row[0] for row in plan if "Index Cond" in row[0]]
    assert "CASE" in condition
