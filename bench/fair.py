"""The row about tenants: one's messages while a backlog of another's waits, over the same alone."""

from __future__ import annotations

import asyncio
import time
from statistics import median, quantiles
from typing import Final

from bench.engine import NoopAdapter, open_engine, publish
from bench.report import Report
from bench.stage import Stage
from postroom.outbox.model import Answer, Claim, Delivered
from postroom.worker.model import JobContext

TAKES_S: Final = 0.005
IN_FLIGHT: Final = 20
BATCH: Final = 50
EVERY_S: Final = 0.025
"""2,000 a second: half of what `IN_FLIGHT` connections can send."""
WARM_S: Final = 1.0
_LEFT: Final = "select exists (select from postroom.delivery where tenant = 'a')"


class PacedAdapter(NoopAdapter):
    """One destination for all, as with email; notes when the first attempt of what has a time began."""

    concurrency_max = 8 * IN_FLIGHT
    per_destination_max = IN_FLIGHT

    def __init__(self) -> None:
        super().__init__()
        self.published_at: dict[str, float] = {}
        self.waited_s: list[float] = []

    async def deliver(self, claim: Claim) -> Answer:
        began_at = self.published_at.pop(claim.key or "", None)
        if began_at is not None:
            self.waited_s.append(time.perf_counter() - began_at)
        await asyncio.sleep(TAKES_S)
        return Delivered()


async def measure_fairness(
    stage: Stage, report: Report, *, rounds: int, seconds: float, backlog: int
) -> None:
    """`fair_ratio`: a tenant's first attempts a second beside `backlog` of another, over the same alone."""
    ratios, waits_ms = [], []
    for _ in range(rounds):
        alone, _ = await _beside(stage, seconds, 0)
        rate, wait_ms = await _beside(stage, seconds, backlog)
        ratios.append(rate / alone)
        waits_ms.append(wait_ms)
    report.put("fair_ratio", median(ratios), spread=ratios)
    report.put("fair_ms_p99", median(waits_ms))


async def _beside(stage: Stage, seconds: float, backlog: int) -> tuple[float, float]:
    """Returns: first attempts a second, and how long 99 of 100 waited at most for theirs, in ms."""
    adapter = PacedAdapter()
    dsn = await stage.database()
    async with open_engine(dsn, lambda _: adapter) as engine:
        await publish(engine.pool, backlog, prefix="a", tenant="a")
        context = JobContext()
        task = asyncio.create_task(engine.run(context))
        await asyncio.sleep(WARM_S)
        began_at = time.perf_counter()
        for number in range(int(seconds / EVERY_S)):
            await asyncio.sleep(began_at + number * EVERY_S - time.perf_counter())
            now, prefix = time.perf_counter(), f"b{number}."
            adapter.published_at |= {f"{prefix}{each}": now for each in range(BATCH)}
            await publish(engine.pool, BATCH, prefix=prefix, tenant="b")
        rate = len(adapter.waited_s) / (time.perf_counter() - began_at)
        if backlog and not await engine.pool.fetchval(_LEFT):
            raise RuntimeError("the backlog was too small")
        context.stop.set()
        engine.wakeup.wake_all()
        await task
    await stage.drop(dsn)
    return rate, 1_000 * quantiles(adapter.waited_s, n=100)[-1]
