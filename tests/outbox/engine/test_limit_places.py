"""Places of a limit: none is given to two, none is lost, and who has none takes no starts."""

from __future__ import annotations

import asyncio

import pytest

from postroom.base.db import Pool
from postroom.outbox.controls import Controls
from postroom.outbox.engine.destination import Destination
from postroom.outbox.engine.limit_budget import Budget
from postroom.outbox.engine.limiter import Limiter
from postroom.outbox.limits import Lease, Limit
from tests.fixtures.engine import Engine, ScriptedAdapter
from tests.fixtures.roles import pool_as
from tests.outbox.engine.test_limits import emails, limit


def destination() -> Destination:
    return Destination(100, 100, heard_at=0.0)


async def test_what_starts_while_a_lease_is_under_way_counts(dsn: str, pool: Pool) -> None:
    one = await Engine(dsn, pool, ScriptedAdapter()).start()
    two = await Engine(dsn, pool, ScriptedAdapter()).start()
    await limit(pool, in_flight=10)
    await one.publish(emails(40))
    limits = await Controls(pool=pool_as(pool, "runner"), clock=one.clock).limits("email")
    here = [destination(), destination()]
    limiters = [
        Limiter(pool=pool_as(pool, "runner"), worker=each.worker, clock=each.clock) for each in (one, two)
    ]
    for place, each, engine in zip(here, limiters, (one, two), strict=True):
        each.set(limits)
        for claim in await engine.claim(20):
            place.add(claim)
    a, b = limiters
    a_there, b_there = here
    gone = asyncio.Event()
    a.start(gone.set)
    assert a.take(a_there, 10) == []
    a.want("email", a_there, 10)
    await gone.wait()
    started = a.take(a_there, 10)
    assert len(started) == 10
    a.ended(started[:8])  # two are under way, nothing else is wanted: a second later eight are returned
    gone.clear()
    await gone.wait()  # asked for as many as were used since the last time; the next one asks for two
    async with pool.acquire() as conn:
        lock = conn.transaction()
        await lock.start()
        await conn.execute("select from postroom.delivery_limit for update")
        waiting = "select count(*) from pg_locks where not granted"
        async with asyncio.timeout(10):
            while not await pool.fetchval(waiting):
                await asyncio.sleep(0.005)
        more = a.take(a_there, 10)  # claimed in this moment
        gone.clear()
        await lock.rollback()
    await gone.wait()
    b_gone = asyncio.Event()
    b.start(b_gone.set)
    b.want("email", b_there, 10)
    await b_gone.wait()
    others = b.take(b_there, 10)
    in_flight = 2 + len(more) + len(others)
    await a.close()
    await b.close()
    assert in_flight <= 10, f"2 + {len(more)} + {len(others)}"


async def test_a_delivery_that_is_started_twice_gives_back_both_places(dsn: str, pool: Pool) -> None:
    one = await Engine(dsn, pool, ScriptedAdapter()).start()
    two = await Engine(dsn, pool, ScriptedAdapter()).start()
    await limit(pool, in_flight=2)
    await one.publish(emails(1))
    limiter = Limiter(pool=pool_as(pool, "runner"), worker=one.worker, clock=one.clock)
    limiter.set(await Controls(pool=pool_as(pool, "runner"), clock=one.clock).limits("email"))
    [budget] = limiter._budgets
    there = destination()
    there.add((await one.claim())[0])
    wanted = budget.ask(0.0)
    budget.take(wanted, Lease(budget.limit.id, 0, 2, None), asked_at=0.0, now=0.0)
    first = limiter.take(there, 1)
    # Stopped and taken for dead: another one frees it, and this one, under a new id, claims it again.
    await pool.execute(
        "update postroom.worker set beat_at = now() - interval '1 minute' where id = $1", one.worker.id
    )
    assert await two.rescuer.rescue() == 1
    await one.worker.register()
    there.add((await one.claim())[0])
    second = limiter.take(there, 1)
    assert len(first) == len(second) == 1
    assert budget.used == 2
    limiter.ended(first)
    limiter.ended(second)
    assert budget.used == 0


def test_who_has_no_place_asks_for_no_start() -> None:
    """It would go void, and nobody else could use it."""
    budget = Budget(Limit(1, None, None, per_second=10.0, in_flight=2))
    budget.want("email", 5)
    asked = budget.ask(0.0)
    assert (asked.starts, asked.places) == (0, 5)
    budget.take(asked, Lease(1, 0, 2, None), asked_at=0.0, now=0.0)
    budget.want("email", 5)
    assert budget.ask(1.0).starts > 0


@pytest.mark.parametrize(
    ("per_second", "asked"), [(1_000_000.0, 2_000), (40_000.0, 700), (100.0, 10), (2.0, 1)]
)
def test_a_lease_reaches_beyond_what_is_wanted_where_that_is_next_to_nothing_of_the_limit(
    per_second: float, asked: int
) -> None:
    budget = Budget(Limit(1, None, None, per_second=per_second, in_flight=None))
    budget.want("a", 500)
    assert budget.ask(0.0).starts == asked
