"""A delivery that is taken from a runner and claimed by it again while its first attempt is under way."""

from __future__ import annotations

from postroom.base.db import Pool
from postroom.outbox.controls import Controls
from postroom.outbox.engine.destination import Destination
from postroom.outbox.engine.limiter import Limiter
from postroom.outbox.limits import Lease
from tests.fixtures.engine import Engine, ScriptedAdapter
from tests.outbox.engine.test_limits import emails, limit


async def test_a_delivery_that_is_started_twice_gives_back_both_places(dsn: str, pool: Pool) -> None:
    one = await Engine(dsn, pool, ScriptedAdapter()).start()
    two = await Engine(dsn, pool, ScriptedAdapter()).start()
    await limit(pool, in_flight=2)
    await one.publish(emails(1))
    limiter = Limiter(pool=pool, worker=one.worker, clock=one.clock)
    limiter.set(await Controls(pool=pool, clock=one.clock).limits("email"))
    [budget] = limiter._budgets
    there = Destination(10, 10, heard_at=0.0)
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
