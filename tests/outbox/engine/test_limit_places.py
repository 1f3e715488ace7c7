"""A place that is given back while it is being taken."""

from __future__ import annotations

import asyncio

from postroom.base.db import Pool
from postroom.outbox.controls import Controls
from postroom.outbox.engine.destination import Destination
from postroom.outbox.engine.limiter import Limiter
from tests.fixtures.engine import Engine, ScriptedAdapter
from tests.outbox.engine.test_limits import emails, limit


def destination() -> Destination:
    return Destination(100, 100, heard_at=0.0)


async def test_what_starts_while_a_lease_is_under_way_counts(dsn: str, pool: Pool) -> None:
    one = await Engine(dsn, pool, ScriptedAdapter()).start()
    two = await Engine(dsn, pool, ScriptedAdapter()).start()
    await limit(pool, in_flight=10)
    await one.publish(emails(40))
    limits = await Controls(pool=pool, clock=one.clock).limits("email")
    here = [destination(), destination()]
    limiters = [Limiter(pool=pool, worker=each.worker, clock=each.clock) for each in (one, two)]
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
