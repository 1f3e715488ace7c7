"""The engine's own jobs: made by functions, listed in jobs/catalog.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from postroom.base.db import Pool
from postroom.outbox.engine.expirer import Expirer
from postroom.outbox.engine.relay import Relay
from postroom.outbox.engine.rescuer import Rescuer
from postroom.outbox.ledger.balance import check_ledger
from postroom.worker.model import Job, JobContext

Unpark = Callable[[], Awaitable[int]]


def relay_job(name: str, relays: Sequence[Relay]) -> Job:
    """Drains channels, all of them side by side, in every runner, all the time."""

    async def run(context: JobContext) -> int:
        ending = asyncio.Event()

        async def relayed(relay: Relay) -> int:
            try:
                return await relay.run(replace(context, stop=ending))
            except BaseException:
                # The others drain in order. Cancelled, they would leave claims behind that nobody knows of.
                ending.set()
                raise

        following = asyncio.create_task(_follow(context.stop, ending))
        try:
            ended = await asyncio.gather(*map(relayed, relays), return_exceptions=True)
        finally:
            following.cancel()
        for each in ended:
            if isinstance(each, BaseException):
                raise each
        return sum(each for each in ended if isinstance(each, int))

    return Job(name=name, run=run, every_s=1.0, continuous=True)


async def _follow(stop: asyncio.Event, ending: asyncio.Event) -> None:
    await stop.wait()
    ending.set()


def rescue_job(*, rescuer: Rescuer, unpark: Unpark) -> Job:
    """Frees what dead workers held, and what waits for an endpoint that is open again.

    After an outage everybody looks dead to the first one that is back, so it judges nobody for a moment,
    unless a person asks for it.
    """

    async def run(context: JobContext) -> int:
        judges = rescuer.may_judge or context.once or context.requested
        return (await rescuer.rescue() if judges else 0) + await unpark()

    return Job(name="lease-rescue", run=run, every_s=2.0)


def expiry_job(expirer: Expirer) -> Job:
    """Ends what nobody claims and whose time is over."""

    async def run(_context: JobContext) -> int:
        return await expirer.sweep()

    return Job(name="expiry", run=run, every_s=30.0)


def canary_job(*, pool: Pool, extras: Sequence[Callable[[], Awaitable[int]]] = ()) -> Job:
    """Adds up both sides of the ledger. A drift is kept, exported, and an alert.

    `extras`: what looks at the ledger in the same rhythm, after the count.
    """

    async def run(_context: JobContext) -> int:
        await check_ledger(pool)
        for extra in extras:
            await extra()
        return 1

    return Job(name="canary", run=run, every_s=30.0)
