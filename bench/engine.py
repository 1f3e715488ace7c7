"""The real engine with an adapter that does nothing, so that what is measured is the engine."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, open_pool
from postroom.base.json import encode
from postroom.outbox.controls import Controls
from postroom.outbox.engine.relay import Relay
from postroom.outbox.model import Adapter, Answer, Channel, Claim, Delivered
from postroom.resilience.backoff import Exponential
from postroom.resilience.circuits import Circuits
from postroom.worker.heartbeat import Worker
from postroom.worker.model import JobContext
from postroom.worker.wakeup import Wakeup

PUBLISH_MANY: Final = "select count(*) from postroom.publish_many($1::text::jsonb)"


class NoopAdapter:
    """Takes everything at once, and notes when: `marks` has the time of each thousandth delivery."""

    channel = Channel.EMAIL
    circuit: str | None = "email"
    concurrency_max = 4_000
    per_destination_max = 4_000
    timeout_s = 30.0

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Future[float]] = {}
        self.marks: list[float] = []
        self.count = 0

    async def deliver(self, claim: Claim) -> Answer:
        self.count += 1
        if self.count % 1_000 == 0:
            self.marks.append(time.perf_counter())
        if claim.key in self.waiting:
            self.waiting.pop(claim.key).set_result(time.perf_counter())
        return Delivered()

    def check(self, payload: dict[str, Any]) -> None:
        """Everything can be sent."""

    async def start(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""


class Engine:
    """One worker, one channel; the parts are those of the service."""

    def __init__(
        self, dsn: str, pool: Pool, adapter: Adapter | None = None, *, age_max_s: float = math.inf
    ) -> None:
        self.pool = pool
        self.age_max_s = age_max_s
        self.noop = NoopAdapter()
        self.adapter = adapter or self.noop
        self.worker = Worker(pool=pool, role="bench")
        self.wakeup = Wakeup(dsn=dsn, pool=pool, worker=self.worker)
        self.relay: Relay | None = None

    async def start(self) -> None:
        await self.worker.register()
        clock = SystemClock()
        self.relay = Relay(
            pool=self.pool,
            clock=clock,
            worker=self.worker,
            wakeup=self.wakeup,
            circuits=Circuits(pool=self.pool, clock=clock, worker=self.worker.id),
            adapter=self.adapter,
            backoff=Exponential(attempts_max=5),
            controls=Controls(pool=self.pool, clock=clock),
            age_max_s=self.age_max_s,
        )

    async def run(self, context: JobContext) -> int:
        if self.relay is None:
            raise RuntimeError("start it first")
        return await self.relay.run(context)

    async def drain(self) -> float:
        """Until nothing is due. Returns: deliveries a second."""
        started = time.perf_counter()
        count = await self.run(JobContext(once=True))
        return count / (time.perf_counter() - started)


@asynccontextmanager
async def open_engine(dsn: str, adapter: Callable[[Pool], Adapter] | None = None) -> AsyncIterator[Engine]:
    """An engine on a database; `adapter` makes another one than the one that does nothing."""
    pool = await open_pool(dsn)
    try:
        engine = Engine(dsn, pool, adapter(pool) if adapter else None)
        await engine.adapter.start()
        await engine.start()
        yield engine
        await engine.adapter.close()
    finally:
        await pool.close()


async def publish(
    pool: Pool, count: int, *, batch: int = 1_000, prefix: str = "k", tenant: str | None = None
) -> float:
    """Publish by the SQL function, with keys; JSON by the client. Returns: messages a second."""
    started = time.perf_counter()
    for start in range(0, count, batch):
        messages = [
            {
                "channel": "email",
                "key": f"{prefix}{number}",
                "tenant": tenant,
                "payload": {"to": "ada@example.com", "template": "welcome", "n": number},
            }
            for number in range(start, min(start + batch, count))
        ]
        await pool.execute(PUBLISH_MANY, encode(messages), timeout=60)
    return count / (time.perf_counter() - started)
