"""A row about what goes: publishing while a long history is being forgotten, over publishing without that."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Final

from bench.engine import publish
from bench.report import Report
from bench.stage import Stage, execute
from postroom.base.db import Pool, open_pool
from postroom.base.settings import RetentionSettings
from postroom.outbox.ledger.retention import retention_job
from postroom.worker.model import JobContext

BATCH: Final = 1_000
STEP: Final = 250_000
TURNS: Final = 4
"""Of each round, so that what else the machine does falls on both sides."""

# As retention left them a year before: payloads emptied, added up, beyond their 400 days.
FORGOTTEN: Final = """
insert into postroom.message (id, channel, type, tenant, key, payload, deliveries, xid, created_at)
select (left(postroom.first_id_at(moment)::text, 14) || '7' || right(gen_random_uuid()::text, 21))::uuid,
    'email', 'done',
    case when i % 10 = 0 then 'tenant-' || i / 10 % 100 else '' end,
    'f' || i, '{}', 1, 0, moment
from generate_series($1::bigint, $2::bigint) i,
    lateral (select now() - interval '500 days' + make_interval(secs => i / 10.0) as moment) at"""


async def measure_retention(stage: Stage, report: Report, *, rounds: int, seconds: int, count: int) -> None:
    """`retention_60m`: in turns, in one ledger, with `count` messages that are past their time."""
    dsn = await stage.database()
    pool = await open_pool(dsn)
    for start in range(1, count + 1, STEP):
        await pool.execute(FORGOTTEN, start, min(start + STEP - 1, count), timeout=600)
    await pool.execute("update postroom.ledger_fold set xid = 1")
    await execute(dsn, "vacuum (analyze) postroom.message")
    job = retention_job(pool=pool, keep=RetentionSettings())
    ratios, gone = [], 0
    for round_ in range(rounds):
        alone = beside = 0.0
        for turn in range(TURNS):
            alone += await _rate(pool, seconds / TURNS, f"alone{round_}:{turn}:")
            context = JobContext()
            run = asyncio.ensure_future(job.run(context))
            beside += await _rate(pool, seconds / TURNS, f"beside{round_}:{turn}:")
            context.stop.set()
            gone += await run
        ratios.append(beside / alone)
    await pool.close()
    await stage.drop(dsn)
    report.put("retention_60m", median(ratios), spread=ratios, note=f"{gone:,} of {count:,} went meanwhile")


async def _rate(pool: Pool, seconds: float, prefix: str) -> float:
    """Messages a second."""
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        await publish(pool, BATCH, prefix=f"{prefix}{count}:")
        count += BATCH
    return count / (time.perf_counter() - started)
