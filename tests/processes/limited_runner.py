"""A runner that writes down when each delivery starts and ends, so that a test can count those of several.

`python -m tests.processes.limited_runner DSN LOG TAKES_S BATCH_MAX`; it runs until it is killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence

from postroom.base.db import open_pool
from postroom.outbox.model import Answer, Claim, Delivered
from postroom.worker.model import JobContext
from tests.fixtures.engine import Engine, MailAdapter


class Noting(MailAdapter):
    def __init__(self, log: int, takes_s: float) -> None:
        super().__init__()
        self.log = log
        self.takes_s = takes_s

    def note(self, sign: str, claim: Claim) -> None:
        os.write(self.log, f"{time.monotonic()} {sign} {os.getpid()} {claim.tenant or '-'}\n".encode())

    async def deliver(self, claim: Claim) -> Answer:
        self.note("+", claim)
        await asyncio.sleep(self.takes_s)
        self.note("-", claim)
        return Delivered()


class Gathering(Noting):
    def __init__(self, log: int, takes_s: float, batch_max: int) -> None:
        super().__init__(log, takes_s)
        self.batch_max = batch_max

    def batch_of(self, claim: Claim) -> int:
        return self.batch_max

    async def deliver_batch(self, claims: Sequence[Claim]) -> Sequence[Answer]:
        return await asyncio.gather(*map(self.deliver, claims))


async def run(dsn: str, path: str, takes_s: float, batch_max: int) -> None:
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    adapter = Gathering(log, takes_s, batch_max) if batch_max > 1 else Noting(log, takes_s)
    engine = await Engine(dsn, await open_pool(dsn), adapter).start()
    beating = asyncio.create_task(engine.worker.beating())
    await engine.relay.run(JobContext())
    beating.cancel()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
