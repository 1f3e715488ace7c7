"""What was delivered is sent again under the same id, and the ledger still adds up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from postroom.base.db import Pool, transaction
from postroom.base.errors import Conflict, NotFound
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.ledger.resend import resend
from postroom.outbox.model import Channel, Message
from tests.fixtures.engine import Engine, ScriptedAdapter, email
from tests.outbox.ledger.test_attempts import ENDPOINTS, ORDER


@pytest.fixture
async def webhooks(dsn: str, pool: Pool) -> AsyncIterator[Engine]:
    engine = await Engine(dsn, pool, ScriptedAdapter(channel=Channel.WEBHOOK)).start()
    yield engine
    assert (await check_ledger(pool)).drift == 0


async def again(pool: Pool, message_id: UUID, endpoint_id: UUID | None = None) -> int:
    async with transaction(pool) as conn:
        return await resend(conn, message_id, endpoint_id=endpoint_id, actor="ada")


async def test_an_endpoint_gets_what_it_had_once_more_under_the_same_id(webhooks: Engine, pool: Pool) -> None:
    lost, *_ = [row["id"] for row in await pool.fetch(ENDPOINTS)]
    [message_id] = await webhooks.publish([ORDER])
    assert await webhooks.drain() == 3
    first = next(claim for claim in webhooks.adapter.seen if claim.endpoint_id == lost)
    assert await again(pool, message_id, lost) == 1
    assert (await check_ledger(pool)).drift == 0
    assert await webhooks.drain() == 1
    second = webhooks.adapter.seen[-1]
    assert (second.message_id, second.endpoint_id, second.attempts) == (message_id, lost, 0)
    assert second.payload == first.payload
    assert await again(pool, message_id) == 3  # and all of them, however often
    assert await webhooks.drain() == 3
    assert (await check_ledger(pool)).delivered == 7


async def test_two_at_once_send_it_once(webhooks: Engine, pool: Pool) -> None:
    await pool.fetch(ENDPOINTS)
    [message_id] = await webhooks.publish([ORDER])
    await webhooks.drain()
    found = await asyncio.gather(again(pool, message_id), again(pool, message_id), return_exceptions=True)
    assert sorted(str(type(each).__name__) for each in found) == ["Conflict", "int"]


async def test_what_is_on_its_way_or_was_for_a_deleted_endpoint_is_left_alone(
    webhooks: Engine, pool: Pool
) -> None:
    gone, _, _ = [row["id"] for row in await pool.fetch(ENDPOINTS)]
    [message_id] = await webhooks.publish([ORDER])
    with pytest.raises(Conflict):
        await again(pool, message_id)
    await webhooks.drain()
    await pool.execute("delete from postroom.endpoint where id = $1", gone)
    assert await again(pool, message_id) == 2
    with pytest.raises(Conflict):
        await again(pool, message_id)


async def test_a_mail_and_a_url_are_sent_again_too(dsn: str, pool: Pool) -> None:
    to_url = Message(channel="webhook", payload={"url": "https://a.example/", "data": {}})
    for channel, message in ((Channel.EMAIL, email()), (Channel.WEBHOOK, to_url)):
        engine = await Engine(dsn, pool, ScriptedAdapter(channel=channel)).start()
        [message_id] = await engine.publish([message])
        await engine.drain()
        assert await again(pool, message_id) == 1
        await engine.drain()
        assert len({claim.destination for claim in engine.adapter.seen}) == 1
        assert len(engine.adapter.seen) == 2


async def test_what_cannot_be_sent_again_says_why(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    [emptied] = await engine.publish([email()])
    await engine.drain()
    await pool.execute("update postroom.message set payload = '{}'")
    with pytest.raises(Conflict, match="emptied"):
        await again(pool, emptied)
    with pytest.raises(NotFound):
        await again(pool, UUID(int=7))
    exported = await pool.fetchval("select postroom.publish('export', '{}')")
    with pytest.raises(Conflict, match="only email and webhook"):
        await again(pool, exported)
