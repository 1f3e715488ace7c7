"""What fails again and again is told after the third attempt, not after the last."""

from __future__ import annotations

import pytest

from postroom.base.db import Pool
from postroom.metrics.failing import SCAN_MAX, Failing, list_failing
from postroom.metrics.families import families
from postroom.metrics.gauges import read_gauges
from postroom.outbox.model import Answer, Cause, Channel, Claim, Deferred, Delivered, RetryLater, Trip, Wait
from postroom.resilience.backoff import Exponential
from tests.fixtures.engine import Engine, ScriptedAdapter, email

HOURS_S = 100_000.0


class Faulty(ScriptedAdapter):
    """Fails for one reason, in which only an id differs."""

    def __init__(self) -> None:
        super().__init__(self.fail)

    def fail(self, claim: Claim) -> Answer:
        return RetryLater(f"handler receipt: KeyError: {claim.seq}", cause=Cause.OURS, trip=Trip.NO)


async def failing(pool: Pool) -> list[Failing]:
    async with pool.acquire() as conn:
        return await list_failing(conn)


async def exported(pool: Pool) -> dict[str, float]:
    async with pool.acquire() as conn:
        gauges = await read_gauges(conn)
    [family] = [each for each in families(gauges) if each.name == "postroom_deliveries_failing"]
    return {sample.labels["channel"]: sample.value for sample in family.samples}


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> Engine:
    engine = Engine(dsn, pool, Faulty())
    engine.backoff = Exponential(attempts_max=12, base_s=60.0)
    return await engine.start()


async def fail(engine: Engine, times: int) -> None:
    for _ in range(times):
        await engine.drain()
        await engine.travel(HOURS_S)


async def test_failures_of_one_kind_are_told_together_from_the_third_on(engine: Engine, pool: Pool) -> None:
    ids = await engine.publish([email(), email(), email()])
    await fail(engine, 2)
    assert await failing(pool) == []
    assert await exported(pool) == {channel.value: 0.0 for channel in Channel}

    await fail(engine, 1)
    [one] = await failing(pool)
    assert (one.channel, one.count, one.attempts) == (Channel.EMAIL, 3, 3)
    assert one.reason.startswith("handler receipt: KeyError")
    assert one.message_id in ids
    assert (await exported(pool))["email"] == 3.0

    engine.adapter.answer = lambda _: Delivered()
    await fail(engine, 1)
    assert await failing(pool) == []


async def test_another_fault_is_another_line(engine: Engine, pool: Pool) -> None:
    await engine.publish([email(), email(), email()])
    first = (await engine.claim())[0].message_id
    await pool.execute("update postroom.delivery set worker = null, claimed_at = null")
    other = RetryLater("no such template", cause=Cause.OURS, trip=Trip.NO)
    same = engine.adapter.answer
    engine.adapter.answer = lambda claim: other if claim.message_id == first else same(claim)
    await fail(engine, 3)
    assert [(each.count, each.reason[:12]) for each in await failing(pool)] == [
        (2, "handler rece"),
        (1, "no such temp"),
    ]


async def test_what_waits_for_an_open_breaker_has_not_failed(engine: Engine, pool: Pool) -> None:
    await engine.publish([email()])
    engine.adapter.answer = lambda _: Deferred(Wait.CIRCUIT_OPEN, "the breaker is open")
    await fail(engine, 4)
    assert await failing(pool) == []


async def test_those_that_failed_most_are_found_behind_many_that_failed_once(
    engine: Engine, pool: Pool
) -> None:
    await engine.publish([email() for _ in range(SCAN_MAX + 200)])
    await pool.execute("""
        with numbered as (select ctid, row_number() over (order by seq) as nr from postroom.delivery)
        update postroom.delivery d set state = 'retry', last_reason = 'busy',
            attempts = case when nr = 7 then 5 else 1 end,
            due_at = now() + case when nr = 7 then interval '2 hours' else interval '1 minute' end
        from numbered where d.ctid = numbered.ctid""")
    assert [(each.count, each.attempts) for each in await failing(pool)] == [(1, 5)]


async def test_what_waits_for_a_person_is_told_as_parked(engine: Engine, pool: Pool) -> None:
    await engine.publish([email()])
    await fail(engine, 3)
    await pool.execute("update postroom.delivery set due_at = 'infinity'")
    assert await failing(pool) == []
