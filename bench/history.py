"""Rows about a long life: a history of millions, and what a scrape or a page costs over it."""

from __future__ import annotations

import asyncio
from statistics import median, quantiles
from typing import Final

from app.base.db import open_pool
from bench.console import fill_office, measure_pages
from bench.engine import open_engine, publish
from bench.memory import measure_memory
from bench.queue import DRAIN_COUNT
from bench.report import Report
from bench.service import open_api, time_requests
from bench.stage import Stage, execute

WAITING: Final = 1_000_000
REQUESTS: Final = 60

FINISHED = """
with made as (
    insert into postroom.message (id, channel, type, tenant, key, payload, deliveries, created_at)
    select postroom.uuid7(), 'email', 'done', 'tenant-' || i % 100, 'h' || i,
        jsonb_build_object('to', 'ada@example.com', 'n', i), 1, now() - interval '1 day'
    from generate_series($1::bigint, $2::bigint) i
    returning id
)
insert into postroom.attempt (message_id, n, channel, attempt, worker, outcome, duration_ms)
select id, 0, 'email', 1, 1, 'delivered', 5 from made"""
COUNTED = """
insert into postroom.tally (name, label, shard, value) values ('ended', 'email/delivered', 0, $1)
on conflict (name, label, shard) do update set value = postroom.tally.value + excluded.value"""


async def finish(dsn: str, count: int, *, step: int = 250_000) -> None:
    """Write so many delivered messages, as the engine would leave them; on two connections, to save time."""
    pool = await open_pool(dsn)
    starts = iter(range(1, count + 1, step))

    async def write() -> None:
        for start in starts:
            await pool.execute(FINISHED, start, min(start + step - 1, count), timeout=300)

    await asyncio.gather(write(), write())
    await pool.execute(COUNTED, count)
    await pool.close()
    await execute(dsn, "vacuum analyze postroom.message; ")


async def measure_history(stage: Stage, report: Report, *, rounds: int, finished: int) -> None:
    """`history_ratio`, then the costs of looking, over the same database with a million waiting."""
    young, old = await stage.database(), await stage.database()
    await finish(old, finished)
    ratios = []
    for round_ in range(rounds):
        rates = {}
        for dsn in (young, old):
            async with open_engine(dsn) as engine:
                await publish(engine.pool, DRAIN_COUNT, prefix=f"r{round_}:")
                rates[dsn] = await engine.drain()
        ratios.append(rates[old] / rates[young])
    report.put("history_ratio", median(ratios), spread=ratios)
    await stage.drop(young)
    await _measure_looking(old, report)
    await measure_memory(old, report)
    await stage.drop(old)


async def _measure_looking(dsn: str, report: Report) -> None:
    pool = await open_pool(dsn)
    await publish(pool, WAITING, batch=10_000, prefix="w")
    await pool.close()
    await execute(dsn, "analyze")
    async with open_api(dsn) as api:
        for key, paths in {
            "metrics_ms": ["/metrics"],
            "readyz_ms": ["/readyz"],
            "admin_page_ms": ["/v1/admin/outbox", "/v1/admin/outbox/dead-letter", "/v1/admin/jobs/status"],
        }.items():
            times_ms = await time_requests(api, paths, count=REQUESTS)
            report.put(key, quantiles(times_ms, n=20)[-1])
        await measure_pages(api, report, await fill_office(dsn))
