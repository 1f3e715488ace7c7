"""The rate of a route, over all runners: real processes, a real mail server, in real time."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.channels.email.route_rate import RouteRate
from postroom.dev.mailbox import Mailbox
from postroom.outbox.controls import Controls
from postroom.outbox.limits import LimitKey, list_limits, remove_limit
from postroom.outbox.publish import publish_many
from tests.fixtures.engine import email
from tests.fixtures.roles import pool_as

RATE = 30.0


class Sink:
    """A mail server that notes when each mail came."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.mailbox = Mailbox(on_mail=lambda _: self.times.append(time.monotonic()))

    async def stretch(self, first: int, count: int) -> list[float]:
        await self.until(lambda so_far: so_far >= first + count)
        return self.times[first : first + count]

    async def until(self, holds: Callable[[int], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds(len(self.times)):
                await asyncio.sleep(0.02)


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    sink = Sink()
    await sink.mailbox.start()
    yield sink
    await sink.mailbox.close()


async def _runner(dsn: str, sink: Sink, stack: AsyncExitStack) -> Process:
    command = (sys.executable, "-m", "tests.processes.route_runner", dsn, str(sink.mailbox.port), str(RATE))
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL)
    stack.push_async_callback(_killed, process)
    return process


async def _killed(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


@pytest.mark.timeout(180)
async def test_three_runners_keep_the_rate_of_a_route_and_one_alone_has_all_of_it(
    dsn: str, pool: Pool, sink: Sink
) -> None:
    async with transaction(pool) as conn:
        await publish_many(conn, [email() for _ in range(2_000)])
    async with AsyncExitStack() as stack:
        runners = [await _runner(dsn, sink, stack) for _ in range(3)]
        await sink.until(lambda count: count >= 300)
        together = sink.times[:300]
        await _killed(runners[0])
        await _killed(runners[1])
        begun, alone = len(sink.times) + int(RATE), list[float]()
        # A busy machine may keep a runner from its turn for a while, and what it misses is not made up for.
        for first in range(begun, 800, 150):
            alone = await sink.stretch(first, 150)
            if len(alone) >= 0.9 * RATE * (alone[-1] - alone[0]):
                break
    # A lease is good for half a second, and 0.2 s pile up.
    assert len(together) <= 1.05 * RATE * (together[-1] - together[0]) + 0.7 * RATE
    assert len(together) >= 0.9 * RATE * (together[-1] - together[0])
    assert len(alone) >= 0.9 * RATE * (alone[-1] - alone[0])
    assert len(alone) <= 1.05 * RATE * (alone[-1] - alone[0]) + 0.7 * RATE
    assert await pool.fetchval("select coalesce(max(attempts), 0) from postroom.delivery") == 0


def rate(pool: Pool, per_second: float, *, waiting_max: int = 2) -> RouteRate:
    return RouteRate(
        pool=pool_as(pool, "runner"),
        clock=SystemClock(),
        name="ses",
        setting="POSTROOM_EMAIL__ROUTES__SES__PER_SECOND",
        per_second=per_second,
        waiting_max=waiting_max,
    )


async def test_the_setting_is_what_holds(pool: Pool) -> None:
    """A changed one, and one whose limit somebody has removed. No relay takes it for a domain's."""
    assert await rate(pool, 0.001).take()
    assert not await rate(pool, 0.001).take()
    wait_s = await rate(pool, 0.001).turn()
    assert wait_s is not None
    assert wait_s > 20
    faster = rate(pool, 1_000.0)
    assert await faster.turn() is None
    async with transaction(pool) as conn:
        [limit] = await list_limits(conn)
        assert (limit.scope, limit.per_second) == ("route ses", 1_000.0)
        assert limit.reason == "POSTROOM_EMAIL__ROUTES__SES__PER_SECOND"
        assert await remove_limit(conn, LimitKey("email", destination="route:ses"))
    for _ in range(5):
        assert await faster.turn() is None
    assert await Controls(pool=pool_as(pool, "runner"), clock=SystemClock()).limits("email") == ()


async def test_who_may_wait_waits_and_the_others_are_put_off_one_after_the_other(pool: Pool) -> None:
    """Were all put off until the next start, each would be claimed again for each that goes."""
    ours = rate(pool, 4.0)
    while await ours.take():
        pass
    took = await asyncio.gather(*(ours.turn() for _ in range(40)))
    assert took[:2] == [None, None]
    waits = [each for each in took[2:] if each is not None]
    assert len(waits) == 38
    assert waits == sorted(waits)
    assert waits[-1] - waits[0] == pytest.approx(37 / 8, abs=0.2)


async def test_what_is_urgent_has_a_turn_although_all_others_are_taken(pool: Pool) -> None:
    ours = rate(pool, 4.0, waiting_max=1)
    while await ours.take():
        pass
    others = ours.turn(), ours.turn(), ours.turn(urgent=True)
    first, second, urgent = await asyncio.gather(*others)
    assert (first, urgent) == (None, None)
    assert second is not None
