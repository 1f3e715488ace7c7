"""The log of attempts says where each went."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from postroom.base.db import Pool, transaction
from postroom.base.errors import NotFound
from postroom.base.migrate import migrate
from postroom.outbox.ledger.replay import replay_one
from postroom.outbox.ledger.story import AttemptEntry, list_attempts
from postroom.outbox.model import Channel, Claim, Delivered, Message, Rejected, RetryLater
from postroom.outbox.store import cancel_message
from tests.fixtures.engine import Engine, ScriptedAdapter, email

ENDPOINTS = """
insert into postroom.endpoint (tenant, url, types, secret)
select 'acme', 'https://example.com/' || n, '{*}', 'whsec_' from generate_series(1, 3) n
returning id"""
ORDER = Message(channel="webhook", payload={"data": {}}, tenant="acme", type="order.paid")
BEFORE = """
drop view postroom.attempt_view;
alter table postroom.attempt drop column destination, drop column endpoint_id;
update postroom.alembic_version set version_num = '0005'"""
BY_AN_OLDER_RUNNER = """
insert into postroom.attempt (message_id, n, channel, attempt, outcome)
values ($1, 0, 'webhook', 1, 'delivered')"""


async def attempts_at(pool: Pool, message_id: UUID, endpoint_id: UUID | None = None) -> list[AttemptEntry]:
    async with pool.acquire() as conn:
        return await list_attempts(conn, message_id, endpoint_id=endpoint_id)


async def test_whether_an_endpoint_got_a_message_is_one_look(dsn: str, pool: Pool) -> None:
    """Delivered, tried again, dead, replayed: each says at whom, also when nothing of it is left to wait."""
    taken, late, dead = [row["id"] for row in await pool.fetch(ENDPOINTS)]
    answers: dict[UUID, Delivered | RetryLater | Rejected]
    answers = {taken: Delivered(code="200"), late: RetryLater("busy", after_s=0.0), dead: Rejected("gone")}

    def answer(claim: Claim) -> Delivered | RetryLater | Rejected:
        assert claim.endpoint_id is not None
        return answers[claim.endpoint_id]

    engine = await Engine(dsn, pool, ScriptedAdapter(answer, Channel.WEBHOOK)).start()
    [message_id] = await engine.publish([ORDER])
    await engine.drain()
    async with transaction(pool) as conn:
        await replay_one(conn, message_id, actor="test")
    async with transaction(pool) as conn:
        assert await cancel_message(conn, message_id=message_id) == 2
    outcomes = {
        taken: ["delivered"],
        late: ["retry", "cancelled"],
        dead: ["rejected", "replayed", "cancelled"],
    }
    for endpoint_id, expected in outcomes.items():
        found = await attempts_at(pool, message_id, endpoint_id)
        assert [each.outcome for each in found] == expected
        assert {(each.destination, each.endpoint_id) for each in found} == {(str(endpoint_id), endpoint_id)}
    assert len(await attempts_at(pool, message_id)) == 6
    with pytest.raises(NotFound):
        await attempts_at(pool, UUID(int=7))


async def test_a_destination_without_an_endpoint_is_named(dsn: str, pool: Pool) -> None:
    for channel, message in (
        (Channel.WEBHOOK, Message(channel="webhook", payload={"url": "https://Example.com/x", "data": {}})),
        (Channel.EMAIL, email()),
        (Channel.EXPORT, Message(channel="export", payload={"dataset": "orders", "record": {}})),
    ):
        engine = await Engine(dsn, pool, ScriptedAdapter(channel=channel)).start()
        [message_id] = await engine.publish([message])
        await engine.drain()
        [attempt] = await attempts_at(pool, message_id)
        expected = {"webhook": "example.com", "email": "email", "export": "orders"}
        assert (attempt.destination, attempt.endpoint_id) == (expected[channel], None)


async def test_the_columns_come_while_the_log_is_read_and_written(dsn: str, pool: Pool) -> None:
    """Whoever settles waits two seconds at most, an older runner goes on, and its rows name nobody."""
    await pool.execute(BEFORE)
    message_id = await pool.fetchval("select postroom.publish('webhook', '{\"url\": \"https://a.b\"}')")
    async with asyncio.timeout(60):
        async with transaction(pool) as reader:
            await reader.fetch("select count(*) from postroom.attempt")
            upgrade = asyncio.create_task(migrate(dsn))
            while not await pool.fetchval("select count(*) from pg_locks where not granted"):
                assert not upgrade.done()
                await asyncio.sleep(0.01)
            async with asyncio.timeout(5):
                await pool.execute(BY_AN_OLDER_RUNNER, message_id)
        await upgrade
    await pool.execute(BY_AN_OLDER_RUNNER, message_id)
    found = await attempts_at(pool, message_id)
    assert [(each.destination, each.endpoint_id) for each in found] == [(None, None)] * 2
