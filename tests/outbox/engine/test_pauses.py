"""A paused channel: nothing goes out, nothing is spent, and everything does afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from postroom.admin import channels
from postroom.admin.audit import Actor
from postroom.base.db import Pool, transaction
from postroom.base.errors import NotFound
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.pauses import list_channels
from postroom.worker.model import JobContext
from tests.fixtures.engine import Engine, ScriptedAdapter, email

ADA = Actor("ada")


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> AsyncIterator[Engine]:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    yield engine
    assert (await check_ledger(pool)).drift == 0


async def pause(pool: Pool) -> None:
    async with transaction(pool) as conn:
        await channels.pause(conn, "email", reason="wrong template", actor=ADA)


async def resume(pool: Pool) -> None:
    async with transaction(pool) as conn:
        await channels.resume(conn, "email", actor=ADA)


async def until(pool: Pool, what: str, condition: str) -> None:
    try:
        async with asyncio.timeout(15):
            while not await pool.fetchval(condition):
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


async def test_of_a_paused_channel_nothing_is_claimed_and_no_attempt_is_spent(
    engine: Engine, pool: Pool
) -> None:
    await pause(pool)
    # The second of a key would be claimed apart from the others, as soon as the first has ended.
    await engine.publish(email(ordering_key="k") for _ in range(3))
    async with asyncio.timeout(5):
        assert await engine.drain() == 0, "`--once` ends, though something is due"
    assert await pool.fetchval("select max(claim_no) from postroom.delivery") == 0
    assert await pool.fetchval("select max(attempts) from postroom.delivery") == 0


async def test_a_running_relay_stops_and_goes_on(engine: Engine, pool: Pool) -> None:
    """What only waited in memory is let go, what was at the receiver ends; all of it is sent once."""
    engine.adapter.per_destination_max = 1
    engine.adapter.gate = asyncio.Event()
    await engine.publish(email() for _ in range(10))
    stop = asyncio.Event()
    running = asyncio.create_task(engine.relay.run(JobContext(stop=stop)))
    try:
        await until(
            pool, "claims are held", "select count(*) = 10 from postroom.delivery where worker is not null"
        )
        await pause(pool)
        await until(pool, "let go", "select count(*) = 1 from postroom.delivery where worker is not null")
        engine.adapter.gate.set()
        await until(pool, "one ended", "select count(*) = 9 from postroom.delivery where worker is null")
        assert len(engine.adapter.seen) == 1
        await resume(pool)
        await until(pool, "all ended", "select count(*) = 0 from postroom.delivery")
    finally:
        stop.set()
        await running
    assert {claim.attempts for claim in engine.adapter.seen} == {0}
    assert len({claim.message_id for claim in engine.adapter.seen}) == 10


async def test_who_paused_it_and_why_is_kept_and_a_second_pause_changes_nothing(pool: Pool) -> None:
    await pause(pool)
    async with transaction(pool) as conn:
        await channels.pause(conn, "email", reason="another", actor=Actor("ben"))
        by_name = {each.channel: each for each in await list_channels(conn)}
    assert list(by_name) == ["stripe", "email", "webhook", "export", "stripe_api", "task"]
    assert (by_name["email"].paused_by, by_name["email"].reason) == ("ada", "wrong template")
    assert not by_name["webhook"].paused


async def test_an_unknown_channel_is_refused_by_name(pool: Pool) -> None:
    async with transaction(pool) as conn:
        with pytest.raises(NotFound, match="known: stripe, email, webhook, export"):
            await channels.pause(conn, "fax", actor=ADA)
