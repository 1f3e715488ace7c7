"""A destination that says "not so fast": it is left alone for a while, and what waits loses no attempt."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from postroom.base.db import Pool
from postroom.channels.webhooks.answer import judge_answer
from postroom.outbox.model import Answer, Channel, Claim, Deferred, Delivered, Message, Wait
from postroom.resilience.backoff import Exponential
from tests.fixtures.engine import Engine, ScriptedAdapter

BUSY = judge_answer(429, {"retry-after": "1"}, "", datetime.now(UTC))


def hook(host: str = "a.example") -> Message:
    return Message(channel="webhook", payload={"url": f"https://{host}/", "type": "t", "data": 1})


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> Engine:
    adapter = ScriptedAdapter(lambda _: BUSY, Channel.WEBHOOK)
    adapter.circuit, adapter.per_destination_max = None, 4
    # Enough attempts for one delivery to be the one that asks, each time.
    return await Engine(dsn, pool, adapter, Exponential(attempts_max=20, base_s=60)).start()


async def spent(pool: Pool) -> int:
    attempts: int = await pool.fetchval("select coalesce(sum(attempts), 0)::int from postroom.delivery")
    return attempts


async def test_what_waits_for_a_busy_destination_loses_no_attempt(engine: Engine, pool: Pool) -> None:
    await engine.publish(hook() for _ in range(40))
    await engine.drain()
    in_flight = await spent(pool)
    assert in_flight <= 4, "only what was under way already was refused"
    for asked in range(1, 6):
        await engine.travel(5.0 * 2**asked)
        await engine.drain()
        assert await spent(pool) <= in_flight + asked, "one at a time asks whether it goes on"
    assert await pool.fetchval("select count(*) from postroom.dead_letter") == 0


async def test_a_busy_destination_holds_up_no_other_and_goes_on_when_it_may(
    engine: Engine, pool: Pool
) -> None:
    def answer(claim: Claim) -> Answer:
        return BUSY if claim.destination == "a.example" else Delivered()

    engine.adapter.answer = answer
    await engine.publish([*(hook() for _ in range(20)), *(hook("b.example") for _ in range(20))])
    await engine.drain()
    assert await pool.fetchval("select count(*) from postroom.delivery where destination = 'b.example'") == 0
    engine.adapter.answer = lambda _: Delivered()
    async with asyncio.timeout(30):
        while await pool.fetchval("select count(*) from postroom.delivery"):
            await engine.travel(90.0)
            await engine.drain()


async def test_the_breaker_of_what_is_parked_closes(engine: Engine, pool: Pool) -> None:
    """Nobody tries it any more, so an alert that it is open would never end."""
    await engine.publish(hook() for _ in range(3))
    await engine.drain()
    engine.adapter.answer = lambda _: Deferred(Wait.PARKED, "the endpoint is disabled")
    await engine.travel(90.0)
    await engine.drain()
    assert await pool.fetchval("select state from postroom.circuit where name like 'webhook:%'") == "closed"


async def test_a_trial_that_was_put_off_does_not_close_the_breaker(engine: Engine, pool: Pool) -> None:
    await engine.publish(hook() for _ in range(3))
    await engine.drain()
    engine.adapter.answer = lambda _: Deferred(Wait.DESTINATION_FULL, "every connection to its host is taken")
    await engine.travel(90.0)
    await engine.drain()
    assert (
        await pool.fetchval("select state from postroom.circuit where name like 'webhook:%'") == "half_open"
    )
