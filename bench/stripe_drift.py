"""What it costs to compare with Stripe, and how fast the mirror is filled."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Final

from pydantic import SecretStr

from bench.chain import parent_of, processor_s
from bench.report import Report
from bench.service import open_process
from bench.stage import Stage
from postroom.base import json
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, open_pool, transaction
from postroom.base.stripe_settings import StripeSettings
from postroom.channels.stripe import load_progress
from postroom.channels.stripe.backfill import Backfill
from postroom.channels.stripe.budget import RequestBudget
from postroom.channels.stripe.client import EventPage, EventQuery, StripeApi
from postroom.channels.stripe.effects import Effects
from postroom.channels.stripe.event import parse
from postroom.channels.stripe.ingest import Arrival, Ingest
from postroom.channels.stripe.load import Load
from postroom.channels.stripe.reconcile import EVERY_S, YOUNG, Reconcile
from postroom.encryption.keyring import NO_KEYS
from postroom.resilience.circuits import Circuits
from postroom.worker.model import JobContext

EVENTS: Final = 1_000
OBJECTS: Final = 5_000
PER_SECOND: Final = 100_000.0
RUNS: Final = round(3_600 / EVERY_S)


class CountingBudget(RequestBudget):
    """Counts the requests of one account; there is enough for all of them."""

    asked = 0

    async def take(self) -> float | None:
        self.asked += 1
        return await super().take()


@dataclass(slots=True)
class PassingClock(SystemClock):
    """Tells what time it would be; waits are real."""

    at: datetime

    def now(self) -> datetime:
        return self.at


@dataclass(frozen=True, slots=True)
class Parts:
    pool: Pool
    settings: StripeSettings
    budget: CountingBudget
    apis: dict[str, StripeApi]
    ingest: Ingest
    circuits: Circuits
    postgres_pid: int

    def spent_s(self) -> float:
        return processor_s(os.getpid()) + processor_s(self.postgres_pid)


@asynccontextmanager
async def open_parts(dsn: str, port: int) -> AsyncIterator[Parts]:
    """A runner's part of Stripe, in this process; the stand-in is another one, whose time is not counted."""
    settings = StripeSettings(api_key=SecretStr("sk_test_bench"), api_base=f"http://127.0.0.1:{port}")
    clock, pool = SystemClock(), await open_pool(dsn, connections_max=5)
    budget = CountingBudget(pool=pool, clock=clock, via="self", per_second=PER_SECOND)
    ingest = Ingest(pool=pool, settings=settings, clock=clock)
    api = StripeApi(settings, budget)
    try:
        yield Parts(
            pool=pool,
            settings=settings,
            budget=budget,
            apis={"self": api},
            ingest=ingest,
            circuits=Circuits(pool=pool, clock=clock, worker=0),
            postgres_pid=parent_of(await pool.fetchval("select pg_backend_pid()")),
        )
    finally:
        await ingest.close()
        await api.close()
        await pool.close()


async def measure_reconcile(stage: Stage, report: Report, *, rounds: int) -> None:
    """`reconcile_requests_per_h`, `reconcile_cpu_s_per_h`: 1,000 events an hour, all brought by webhooks."""
    since = int(time.time()) - 7_200
    requests, costs = [], []
    for _ in range(rounds):
        dsn = await stage.database()
        arguments = ["bench.stand_in", str(EVENTS), "0", str(since)]
        async with (
            open_process(arguments, {}, r"ports (\d+)") as (_, found),
            open_parts(dsn, int(found[1])) as parts,
        ):
            await _receive_all(parts, since)
            asked, cost_s = await _reconcile_hour(parts, datetime.fromtimestamp(since, UTC))
        requests.append(asked)
        costs.append(cost_s)
        await stage.drop(dsn)
    report.put("reconcile_requests_per_h", median(requests), spread=requests)
    report.put("reconcile_cpu_s_per_h", median(costs), spread=costs)


async def _receive_all(parts: Parts, since: int) -> None:
    """As their webhooks would have brought them."""
    query, after = EventQuery(since=datetime.fromtimestamp(since, UTC)), None
    while True:
        page = await parts.apis["self"].list_events(query, after=after)
        if not isinstance(page, EventPage):
            raise TypeError(page.reason)
        arrivals = [Arrival(parse(each), json.encode(each).encode(), "bench") for each in page.events]
        await asyncio.gather(*(parts.ingest.take(each) for each in arrivals))
        if page.next is None:
            return
        after = page.next


async def _reconcile_hour(parts: Parts, since: datetime) -> tuple[float, float]:
    """Returns: requests, and seconds of the processor."""
    clock = PassingClock(at=since + YOUNG)
    reconcile = Reconcile(
        pool=parts.pool,
        settings=parts.settings,
        apis=parts.apis,
        backfill=Backfill(
            pool=parts.pool,
            apis=parts.apis,
            ingest=parts.ingest,
            circuits=parts.circuits,
            clock=SystemClock(),
        ),
        effects=Effects(),
        clock=clock,
    )
    await reconcile.run(JobContext())
    before, spent_s = parts.budget.asked, parts.spent_s()
    for _ in range(RUNS):
        clock.at += timedelta(seconds=EVERY_S)
        if await reconcile.run(JobContext()):
            raise RuntimeError("an event was missing that had come in")
    return float(parts.budget.asked - before), parts.spent_s() - spent_s


async def measure_load(stage: Stage, report: Report, *, rounds: int) -> None:
    """`load_objects_per_s`, `load_us_per_object`: invoices of 4 kB, and no budget but our own time."""
    rates, costs = [], []
    arguments = ["bench.stand_in", "0", str(OBJECTS), str(int(time.time()))]
    async with open_process(arguments, {}, r"ports (\d+)") as (_, found):
        for _ in range(rounds):
            dsn = await stage.database()
            async with open_parts(dsn, int(found[1])) as parts:
                load = Load(
                    pool=parts.pool,
                    settings=parts.settings,
                    apis=parts.apis,
                    circuits=parts.circuits,
                    clock=SystemClock(),
                    keyring=NO_KEYS,
                )
                async with transaction(parts.pool) as conn:
                    await load_progress.begin(
                        conn, account="self", live=False, types=["invoice"], again=False
                    )
                started, spent_s = time.perf_counter(), parts.spent_s()
                if await load.run(JobContext()) != OBJECTS:
                    raise RuntimeError("not all of it was loaded")
                rates.append(OBJECTS / (time.perf_counter() - started))
                costs.append((parts.spent_s() - spent_s) / OBJECTS * 1e6)
            await stage.drop(dsn)
    report.put("load_objects_per_s", median(rates), spread=rates, note="one request after the other")
    report.put("load_us_per_object", median(costs), spread=costs)
