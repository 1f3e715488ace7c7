"""A runner that is killed by one of its deliveries: rescues what the last one held, then drains.

`python -m tests.processes.crash_loop DSN`
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from postroom.base.db import open_pool
from postroom.outbox.model import Answer, Claim, Delivered
from tests.fixtures.engine import AT_ONCE, Engine, ScriptedAdapter

POISON = "poison"
MOMENT_S = 0.05


class Killed(ScriptedAdapter):
    """Two deliveries are under way at a time, and the others wait in memory."""

    per_destination_max = 2

    async def deliver(self, claim: Claim) -> Answer:
        if claim.key == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(MOMENT_S)
        return Delivered()


async def run(dsn: str) -> None:
    pool = await open_pool(dsn)
    engine = await Engine(dsn, pool, Killed(), AT_ONCE).start()
    await engine.rescuer.rescue()
    await engine.drain()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
