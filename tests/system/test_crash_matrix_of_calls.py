"""Calls to Stripe in the crash matrix: one refund and one usage for each message, wherever its runner dies.

Runners are real processes, killed by SIGKILL while the stand-in for Stripe holds their requests, or while a
lock holds their commit.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from postroom.base.db import Pool
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_calls import Moment
from tests.system.test_crash_matrix import (
    Start,
    count,
    delivered,
    kill,
    start,
    travel,
    until,
    waits_for_lock,
)

__all__ = ["start"]

REFUND: Final = {"method": "POST", "path": "/v1/refunds", "params": {"charge": "ch_1"}}
USAGE: Final = {
    "method": "POST",
    "path": "/v1/billing/meter_events",
    "params": {"event_name": "calls", "payload": {"stripe_customer_id": "cus_1", "value": "1"}},
}
BOTH: Final = {"refund:1": REFUND, "usage:1": USAGE}
PUBLISH: Final = "select postroom.publish('stripe_api', $1::jsonb, key => $2)::text"


@pytest.fixture
async def stripe() -> AsyncIterator[StripeStandIn]:
    stand_in = StripeStandIn()
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


class Scene:
    """A refund and a usage, published, and runners that call the stand-in."""

    def __init__(self, pool: Pool, stripe: StripeStandIn, start: Start) -> None:
        self.pool = pool
        self.stripe = stripe
        self._start = start
        self.keys: set[str] = set()

    async def publish(self) -> None:
        """As an application would that cannot tell whether it has done so before: twice."""
        for key, call in [*BOTH.items(), *BOTH.items()]:
            self.keys.add(f"{await self.pool.fetchval(PUBLISH, json.dumps(call), key)}-0")

    def work(self) -> subprocess.Popen[bytes]:
        settings = {
            "POSTROOM_STRIPE__API_KEY": "sk_test_of_the_crash_matrix",
            "POSTROOM_STRIPE__API_BASE": self.stripe.url,
        }
        return self._start("postroom", "work", **settings)

    async def mended(self) -> None:
        """Another runner brings it to its end."""
        await travel(self.pool)
        self.work()
        await until(lambda: delivered(self.pool))

    async def done_once(self) -> None:
        """Stripe has each of them once, and we know what came of it."""
        assert Counter(each.key for each in self.stripe.calls.done) == Counter(self.keys)
        assert {each.key for each in self.stripe.calls.arrived} == self.keys
        [usage] = [each for each in self.stripe.calls.done if each.path == USAGE["path"]]
        assert usage.params["identifier"] == usage.key
        assert await count(self.pool, "stripe_call where answered_at is not null and status = 200") == 2
        assert await count(self.pool, "stripe_object where object_id like 're_%'") == 1
        assert await count(self.pool, "dead_letter") == 0
        assert await count(self.pool, "attempt where outcome = 'delivered'") == 2

    async def arrived(self) -> bool:
        return len({each.key for each in self.stripe.calls.arrived}) == len(self.keys)


@pytest.fixture
def scene(pool: Pool, stripe: StripeStandIn, start: Start) -> Scene:
    return Scene(pool, stripe, start)


async def test_what_is_rolled_back_reaches_nobody(scene: Scene) -> None:
    async with scene.pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        for key, call in BOTH.items():
            await conn.fetchval(PUBLISH, json.dumps(call), key)
        await transaction.rollback()
    await scene.publish()  # other messages, under the same keys
    scene.work()
    await until(lambda: delivered(scene.pool))
    await scene.done_once()


async def test_before_it_is_sent(scene: Scene) -> None:
    """A lock holds the note that it may reach Stripe from now on: so it has not."""
    await scene.publish()
    lock = await scene.pool.acquire()
    locked = lock.transaction()
    await locked.start()
    await lock.execute("lock table postroom.stripe_call in share mode")
    victim = scene.work()
    await until(lambda: waits_for_lock(scene.pool))
    kill(victim)
    await end_sessions(scene.pool)
    await locked.rollback()
    await scene.pool.release(lock)
    assert scene.stripe.calls.arrived == []
    await scene.mended()
    await scene.done_once()


@pytest.mark.parametrize("moment", list(Moment))
async def test_after_it_is_sent_and_before_the_answer(scene: Scene, moment: Moment) -> None:
    """Stripe has not begun, is at it, or has done it: nobody here can know."""
    scene.stripe.calls.hold = moment
    await scene.publish()
    victim = scene.work()
    await until(scene.arrived)
    kill(victim)
    assert await count(scene.pool, "delivery where worker is not null") == 2
    scene.stripe.calls.let_go()
    await scene.mended()
    await scene.done_once()


async def test_while_stripe_still_works_on_what_a_dead_runner_sent(scene: Scene) -> None:
    scene.stripe.calls.hold = Moment.DURING
    await scene.publish()
    victim = scene.work()
    await until(scene.arrived)
    kill(victim)
    scene.stripe.calls.hold = None
    await travel(scene.pool)
    scene.work()
    await until(lambda: count(scene.pool, "delivery where last_reason like 'Stripe still works%'"))
    assert scene.stripe.calls.done == []
    scene.stripe.calls.let_go()
    await until(lambda: delivered(scene.pool))
    await scene.done_once()


@pytest.mark.parametrize("table", ["stripe_call", "tally"])
async def test_after_the_answer_and_before_settling(scene: Scene, table: str) -> None:
    """Before the result is kept, and after it, before the delivery has ended."""
    if table == "stripe_call":
        scene.stripe.calls.hold = Moment.AFTER
    await scene.publish()
    lock = await scene.pool.acquire()
    locked = lock.transaction()
    if table == "tally":
        await locked.start()
        await lock.execute("lock table postroom.tally in share mode")
    victim = scene.work()
    if table == "stripe_call":
        await until(scene.arrived)
        await locked.start()
        await lock.execute("lock table postroom.stripe_call in share mode")
        scene.stripe.calls.let_go()
    await until(lambda: all_done(scene.stripe))
    await until(lambda: waits_for_lock(scene.pool))
    kill(victim)
    await end_sessions(scene.pool)
    await locked.rollback()
    await scene.pool.release(lock)
    assert await count(scene.pool, "delivery where worker is not null") == 2
    await scene.mended()
    await scene.done_once()


def all_done(stripe: StripeStandIn) -> bool:
    return len(stripe.calls.done) == len(BOTH)


async def end_sessions(pool: Pool) -> None:
    """PostgreSQL would go on with a statement that it has: the session crashes, too."""
    await pool.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and application_name like 'postroom %'"
    )
    await until(lambda: no_runner(pool))


async def no_runner(pool: Pool) -> Any:
    sessions: int = await pool.fetchval(
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and application_name like 'postroom %'"
    )
    return sessions == 0
