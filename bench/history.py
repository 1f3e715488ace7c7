"""Rows about a long life: millions finished, a million waiting, and what looking costs over them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from statistics import median, quantiles
from typing import Final

from bench.console import fill_office, measure_pages
from bench.engine import open_engine, publish
from bench.memory import measure_memory
from bench.queue import DRAIN_COUNT, measure_backlog
from bench.report import Report
from bench.service import open_api, time_requests
from bench.stage import Stage, execute
from postroom.base.db import open_pool

WAITING: Final = 1_000_000
REQUESTS: Final = 60

FINISHED = """
with made as (
    insert into postroom.message (id, channel, type, tenant, key, payload, deliveries, created_at)
    select postroom.uuid7(), 'email', 'done',
        case when i % 10 = 0 then 'tenant-' || i / 10 % 100 else '' end, 'h' || i,
        jsonb_build_object('to', 'ada@example.com', 'n', i), 1, now() - interval '1 day'
    from generate_series($1::bigint, $2::bigint) i
    returning id
)
insert into postroom.attempt (message_id, n, channel, attempt, worker, outcome, duration_ms)
select id, 0, 'email', 1, 1, 'delivered', 5 from made"""
INDEXES = """
select indexname, indexdef from pg_indexes
where schemaname = 'postroom' and tablename = 'message' and indexname <> 'message_pkey'"""
COUNTED = """
insert into postroom.tally (name, label, shard, value) values ('ended', 'email/delivered', 0, $1)
on conflict (name, label, shard) do update set value = postroom.tally.value + excluded.value"""


async def finish(dsn: str, count: int, *, step: int = 250_000) -> None:
    """Write so many delivered messages, as the engine would leave them.

    To save time: on two connections, and the indexes of the messages are built afterwards.
    """
    pool = await open_pool(dsn)
    indexes = await pool.fetch(INDEXES)
    for index in indexes:
        await pool.execute(f"drop index postroom.{index['indexname']}")
    starts = iter(range(1, count + 1, step))
    await _on_two(
        pool.execute(FINISHED, start, min(start + step - 1, count), timeout=600) for start in starts
    )
    await _on_two(pool.execute(index["indexdef"], timeout=600) for index in indexes)
    await pool.execute(COUNTED, count)
    await pool.close()
    await execute(dsn, "vacuum (analyze) postroom.message, postroom.attempt")


async def _on_two(works: Iterator[Coroutine[None, None, object]]) -> None:
    """Two at a time, one for each core."""

    async def work() -> None:
        for each in works:
            await each

    await asyncio.gather(work(), work())


async def measure_history(stage: Stage, report: Report, *, rounds: int, finished: int) -> None:
    """`history_ratio`; with a million waiting as well, the looks and `rss_mb`; apart, `backlog_ratio`."""
    young, old = await stage.database(), await stage.database()
    await finish(old, finished)
    ratios = []
    for round_ in range(rounds):
        rates = {}
        for dsn in (young, old):
            async with open_engine(dsn) as engine:
                await publish(engine.pool, DRAIN_COUNT, prefix=f"r{round_}:")
                await engine.pool.execute("checkpoint")
                rates[dsn] = await engine.drain()
        ratios.append(rates[old] / rates[young])
    report.put("history_ratio", median(ratios), spread=ratios)
    await _wait(old)
    await _measure_looking(old, report)
    await measure_memory(old, report)
    await stage.drop(old)
    await stage.drop(young)
    # In a database of its own: beside millions finished it would be the history that is measured, once more.
    small, waiting = await stage.database(), await stage.database()
    await _wait(waiting)
    await measure_backlog(small, waiting, report, rounds=rounds)
    await stage.drop(small)
    await stage.drop(waiting)


async def _wait(dsn: str) -> None:
    """Publish what waits."""
    pool = await open_pool(dsn)
    await _on_two(publish(pool, WAITING // 4, batch=10_000, prefix=f"w{n}:") for n in range(4))
    await pool.close()
    await execute(dsn, "vacuum (analyze)")  # a backlog grows over hours, in which autovacuum has been there


async def _measure_looking(dsn: str, report: Report) -> None:
    async with open_api(dsn) as api:
        looks = {
            "metrics_ms": ["/metrics"],
            "readyz_ms": ["/readyz"],
            "admin_page_ms": ["/v1/admin/outbox", "/v1/admin/outbox/dead-letter", "/v1/admin/jobs/status"],
        }
        for key, times_ms in (await time_requests(api, looks, count=REQUESTS)).items():
            report.put(key, quantiles(times_ms, n=20)[-1])
        await measure_pages(api, report, await fill_office(dsn))
