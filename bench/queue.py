"""Rows about the queue itself: draining, publishing, waking up, what a backlog and an old snapshot cost."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Final

import asyncpg

from bench.engine import Engine, open_engine, publish
from bench.report import Report
from bench.stage import Stage
from postroom.worker.model import JobContext

DRAIN_COUNT: Final = 60_000
HELD_COUNT: Final = 300_000
BACKLOG_SMALL: Final = 50_000
BACKLOG_TURNS: Final = 2
LATENCY_COUNT: Final = 300


async def measure_drain(stage: Stage, report: Report, *, rounds: int) -> None:
    """`drain_per_s`, `publish_many_per_s`, `statements_per_event`, `wal_bytes_per_event`."""
    drains, publishes = [], []
    for _ in range(rounds):
        dsn = await stage.database()
        async with open_engine(dsn) as engine:
            publishes.append(await publish(engine.pool, DRAIN_COUNT))
            await engine.pool.execute("checkpoint")
            before = await _counters(stage, engine)
            drains.append(await engine.drain())
            after = await _counters(stage, engine)
        await stage.drop(dsn)
        if stage.statements:
            report.put("statements_per_event", (after[0] - before[0]) / DRAIN_COUNT)
        report.put("wal_bytes_per_event", (after[1] - before[1]) / DRAIN_COUNT)
    report.put("drain_per_s", median(drains), spread=drains)
    report.put("publish_many_per_s", median(publishes), spread=publishes)


async def _counters(stage: Stage, engine: Engine) -> tuple[float, float]:
    calls = 0.0
    if stage.statements:
        calls = await engine.pool.fetchval(
            "select coalesce(sum(calls), 0)::float8 from pg_stat_statements s "
            "join pg_database d on d.oid = s.dbid where d.datname = current_database()"
        )
    wal = await engine.pool.fetchval("select (pg_current_wal_lsn() - '0/0')::float8")
    return calls, wal


async def measure_latency(stage: Stage, report: Report) -> None:
    """From the commit of a publish on an idle system to the call of the adapter, one after the other."""
    dsn = await stage.database()
    async with open_engine(dsn) as engine:
        context = JobContext()
        tasks = [
            asyncio.create_task(engine.wakeup.listening()),
            asyncio.create_task(engine.run(context)),
        ]
        conn = await asyncpg.connect(dsn)
        await asyncio.sleep(1.0)
        latencies_ms = [await _one_latency(engine, conn, number) for number in range(LATENCY_COUNT)]
        context.stop.set()
        engine.wakeup.wake_all()
        await tasks[1]
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await conn.close()
    await stage.drop(dsn)
    latencies_ms.sort()
    report.put("latency_ms_p50", latencies_ms[LATENCY_COUNT // 2])
    report.put("latency_ms_p99", latencies_ms[int(LATENCY_COUNT * 0.99)])


async def _one_latency(engine: Engine, conn: asyncpg.Connection, number: int) -> float:
    """Like the peers' rows: the clock starts before the publish, so its commit is in the figure. In ms."""
    key = f"latency:{number}"
    future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    engine.noop.waiting[key] = future
    started = time.perf_counter()
    await conn.fetchval("select postroom.publish('email', '{}', key => $1)", key)
    return (await asyncio.wait_for(future, 30) - started) * 1e3


async def measure_held_snapshot(stage: Stage, report: Report) -> None:
    """`held_xmin_ratio`: the rate of the last fifth over that of the first, while a snapshot is held."""
    dsn = await stage.database()
    async with open_engine(dsn) as engine:
        await publish(engine.pool, HELD_COUNT)
        holder = await asyncpg.connect(dsn)
        held = holder.transaction(isolation="repeatable_read")
        await held.start()
        await holder.fetchval("select count(*) from postroom.delivery")
        await engine.drain()
        await held.rollback()
        await holder.close()
        marks = engine.noop.marks
    fifth = len(marks) // 5
    report.put("held_xmin_ratio", (marks[fifth] - marks[0]) / (marks[-1] - marks[-1 - fifth]))
    await stage.drop(dsn)


async def measure_backlog(small: str, large: str, report: Report, *, rounds: int) -> None:
    """`backlog_ratio`: draining 50,000 out of a million over draining 50,000 out of 50,000.

    A round is `BACKLOG_TURNS` of each, in turns, for a drain of 0.7 s differs by a fifth from one to the
    next. Both get 50,000 before each drain, so that the million stays one, and a checkpoint, as in the row
    `drain`: else only the million, published long before, would pay for writing whole pages to the WAL.
    `large`: a database in which the million waits.
    """
    ratios = []
    for round_ in range(rounds):
        took_s = {small: 0.0, large: 0.0}
        for turn in range(BACKLOG_TURNS):
            for dsn in (small, large) if turn % 2 else (large, small):
                async with open_engine(dsn) as engine:
                    await publish(engine.pool, BACKLOG_SMALL, prefix=f"b{round_}.{turn}:")
                    await engine.pool.execute("checkpoint")
                    took_s[dsn] += BACKLOG_SMALL / await drain_some(engine, BACKLOG_SMALL)
        ratios.append(took_s[small] / took_s[large])
    report.put("backlog_ratio", median(ratios), spread=ratios)


async def drain_some(engine: Engine, count: int) -> float:
    """Drain until so many have been delivered. Returns: deliveries a second."""
    context = JobContext(once=True)
    started = time.perf_counter()

    async def enough(done_count: int) -> None:
        if done_count >= count:
            context.stop.set()

    context.progress = enough
    done = await engine.run(context)
    return done / (time.perf_counter() - started)
