"""Claiming goes back to the beginning often enough to miss nothing, and seldom enough to cost little."""

from __future__ import annotations

import asyncio

from postroom.base.db import Pool, transaction
from postroom.outbox.engine.restarts import RestartPace, Restarts
from postroom.outbox.model import Answer, Claim
from postroom.outbox.publish import publish_many
from tests.fixtures.clock import DrivenClock
from tests.fixtures.engine import Engine, ScriptedAdapter, email
from tests.outbox.engine.test_domain_limits import running, until

PACE = RestartPace(every_s=5.0, pause_claims=20.0)


def restarts() -> tuple[Restarts, DrivenClock]:
    clock = DrivenClock()
    return Restarts(clock=clock, pace=PACE), clock


def test_it_is_overdue_after_a_while_whatever_happens() -> None:
    each, clock = restarts()
    each.claimed_from_start(0.2, blocked=True)
    clock.advance(5.0)
    assert not each.overdue
    clock.advance(0.1)
    assert each.overdue
    each.restarted()
    assert not each.overdue


def test_what_is_cheap_may_be_read_again_at_once() -> None:
    each, _ = restarts()
    assert each.affordable
    each.claimed_from_start(3.0, blocked=False)
    assert each.affordable


def test_reading_what_is_blocked_takes_a_twentieth_of_the_time() -> None:
    each, clock = restarts()
    each.claimed_from_start(0.1, blocked=True)
    clock.advance(1.9)
    assert not each.affordable
    clock.advance(0.1)
    assert each.affordable


def test_no_pause_is_longer_than_the_regular_restart() -> None:
    each, clock = restarts()
    each.claimed_from_start(60.0, blocked=True)
    clock.advance(5.0)
    assert each.affordable


class Slow(ScriptedAdapter):
    async def deliver(self, claim: Claim) -> Answer:
        await asyncio.sleep(0.05)
        return await super().deliver(claim)


async def test_what_was_committed_late_is_delivered_while_the_relay_stays_busy(dsn: str, pool: Pool) -> None:
    """It is due before all that was claimed since, so it is before the cursor when it appears."""
    engine = await Engine(dsn, pool, Slow(), restart_pace=RestartPace(every_s=0.2)).start()
    async with pool.acquire() as conn:
        publisher = conn.transaction()
        await publisher.start()
        [late] = await publish_many(conn, [email("late")])
        async with transaction(pool) as other:
            await publish_many(other, [email() for _ in range(3_000)])
        async with running(engine):
            await until(lambda: len(engine.adapter.seen) >= 200)
            await publisher.commit()
            await until(lambda: late.id in {claim.message_id for claim in engine.adapter.seen})
            left = await pool.fetchval("select count(*) from postroom.delivery where worker is null")
    assert left > 100, "it ran dry, and looked at the beginning for that"
