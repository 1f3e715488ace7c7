"""Publishing: one meaning from SQL and from Python, inside the caller's transaction."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from app.base.db import Pool, transaction
from app.outbox.model import Message
from app.outbox.publisher import publish, publish_many


async def test_the_same_key_again_returns_the_first_id(pool: Pool) -> None:
    async with transaction(pool) as conn:
        first = await publish(
            conn, Message(channel="email", payload={"to": "a@example.com"}, key="welcome:1")
        )
        again = await publish(
            conn, Message(channel="email", payload={"to": "b@example.com"}, key="welcome:1")
        )
    assert first.new
    assert not again.new
    assert again.id == first.id
    assert await pool.fetchval("select count(*) from postroom.delivery") == 1


async def test_a_rollback_publishes_nothing(pool: Pool) -> None:
    async with pool.acquire() as conn:
        attempt = conn.transaction()
        await attempt.start()
        await publish_many(
            conn, [Message(channel="email", payload={}), Message(channel="export", payload={"dataset": "d"})]
        )
        await attempt.rollback()
    assert await pool.fetchval("select count(*) from postroom.message") == 0
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0


async def test_a_webhook_goes_to_every_endpoint_that_listens(pool: Pool) -> None:
    for tenant, types in (("t", ["invoice.*"]), ("t", ["*"]), ("t", ["invoice.paid"]), ("u", ["*"])):
        await pool.execute(
            "insert into postroom.endpoint (tenant, url, types, secret) values ($1, 'https://x', $2, 's')",
            tenant,
            types,
        )
    async with transaction(pool) as conn:
        paid = await publish(
            conn, Message(channel="webhook", payload={"tenant": "t", "type": "invoice.paid"})
        )
        other = await publish(conn, Message(channel="webhook", payload={"tenant": "t", "type": "invoiced"}))
        nobody = await publish(conn, Message(channel="webhook", payload={"tenant": "v", "type": "x"}))
    counted = await pool.fetch(
        "select m.id, m.deliveries, count(d.*) as open from postroom.message m "
        "left join postroom.delivery d on d.message_id = m.id group by m.id"
    )
    assert {(row["id"], row["deliveries"], row["open"]) for row in counted} == {
        (paid.id, 3, 3),
        (other.id, 1, 1),
        (nobody.id, 0, 0),
    }


async def test_publish_many_is_all_or_nothing(pool: Pool) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute(
            "select postroom.publish_many($1)",
            '[{"channel": "email", "payload": {}}, {"channel": "pigeon", "payload": {}}]',
        )
    assert await pool.fetchval("select count(*) from postroom.message") == 0


async def test_two_publishers_of_one_key_get_one_message(dsn: str) -> None:
    async def publish_once() -> object:
        conn = await asyncpg.connect(dsn)
        try:
            return await conn.fetchval("select postroom.publish('email', '{}', key => 'same')")
        finally:
            await conn.close()

    assert len(set(await asyncio.gather(*(publish_once() for _ in range(8))))) == 1
