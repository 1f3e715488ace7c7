"""All processes together ask Stripe so often and no more, and a 429 slows them and is no outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, query
from postroom.channels.stripe import budget
from postroom.channels.stripe.budget import RequestBudget
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.outbox.limits import LimitKey, list_limits, remove_limit, set_limit
from postroom.outbox.model import Deferred, RetryLater, Settled, Wait
from tests.fixtures.roles import pool_as
from tests.fixtures.stripe import Scene

ROUTES = '[[route]]\non = "product.created"\nfetch = true\nexport = { dataset = "seen" }'
KEY = LimitKey("stripe", destination="api")
PRODUCT = {"id": "prod_1", "object": "product"}


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    stand_in = StripeStandIn()
    stand_in.put(PRODUCT)
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


def budget_of(pool: Pool, per_second: float) -> RequestBudget:
    """As one process has it."""
    return RequestBudget(pool=pool_as(pool, "runner"), clock=SystemClock(), via="self", per_second=per_second)


async def test_three_processes_stay_within_one_budget(pool: Pool) -> None:
    clock = SystemClock()
    budgets = [budget_of(pool, 20) for _ in range(3)]
    began_s = clock.monotonic()
    asking = [asyncio.create_task(own.take()) for own in budgets * 15]
    assert await asyncio.gather(*asking) == [None] * 45
    assert clock.monotonic() - began_s >= (45 - 20 * 0.2) / 20
    async with pool.acquire() as conn:
        [limit] = await list_limits(conn)
    assert limit.reached


async def test_it_is_a_limit_that_people_set_and_remove(pool: Pool) -> None:
    own = budget_of(pool, 0.1)
    assert await own.take() is not None
    async with pool.acquire() as conn:
        await set_limit(conn, KEY, per_second=1_000.0, reason="we have more", set_by="ann")
        for _ in range(10):
            assert await own.take() is None
        await remove_limit(conn, KEY)
        assert await own.take() is not None
        [limit] = await list_limits(conn)
    assert (limit.per_second, limit.set_by) == (0.1, "postroom")


async def test_no_relay_takes_it_for_a_limit_of_its_deliveries(pool: Pool) -> None:
    await budget_of(pool, 1).take()
    assert await pool.fetch(query("postroom.outbox", "list_controls")) == []


async def test_what_finds_it_used_up_waits_and_spends_no_attempt(
    pool: Pool, tmp_path: Path, stand_in: StripeStandIn
) -> None:
    scene = Scene(pool, tmp_path, routes=ROUTES, stand_in=stand_in, per_second=0.1)
    [answer] = await scene.process(snapshot_event("product.created", PRODUCT))
    assert isinstance(answer, Deferred)
    assert (answer.wait, stand_in.requests) == (Wait.DESTINATION_FULL, [])
    assert await pool.fetchval("select attempts from postroom.delivery") == 0
    await scene.close()


async def test_a_429_for_long_slows_all_and_opens_no_breaker(
    pool: Pool, tmp_path: Path, stand_in: StripeStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "SLOW_S", 0.01)
    monkeypatch.setattr(budget, "SLOW_MAX_S", 0.2)
    scene = Scene(pool, tmp_path, routes=ROUTES, stand_in=stand_in)
    await scene.receive(snapshot_event("product.created", PRODUCT))
    stand_in.fail(Fault.RATE_LIMITED, times=8, retry_after_s=0)
    delays = []
    for _ in range(8):
        [claim] = await scene.claim()
        answer = await scene.deliver(claim)
        assert isinstance(answer, Deferred)
        assert answer.reason == "Stripe's API answered HTTP 429 (global-rate)"
        delays.append(answer.after_s)
        await scene.pass_time()
    assert delays == [0.01, 0.02, 0.04, 0.08, 0.16, 0.2, 0.2, 0.2]
    assert await scene.work() == [Settled()]
    assert await pool.fetchval("select state from postroom.circuit where name = 'stripe'") == "closed"
    await scene.close()


async def test_after_a_429_other_processes_wait_as_well(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "TURN_MAX_S", 0.1)
    own, other = budget_of(pool, 1_000), budget_of(pool, 1_000)
    assert await other.take() is None
    await own.slow_down()
    assert await other.take() is not None


async def test_a_lock_of_the_object_is_no_limit(pool: Pool, tmp_path: Path, stand_in: StripeStandIn) -> None:
    scene = Scene(pool, tmp_path, routes=ROUTES, stand_in=stand_in)
    stand_in.fail(Fault.LOCKED, times=1)
    [answer] = await scene.process(snapshot_event("product.created", PRODUCT))
    assert isinstance(answer, RetryLater)
    await scene.pass_time()
    assert await scene.work() == [Settled()], "nobody has been slowed down"
    await scene.close()
