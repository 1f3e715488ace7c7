"""`two_runners_ratio`: two processes that drain one queue together, over one alone."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median
from typing import Final

import uvloop

from bench.engine import open_engine, publish
from bench.report import Report
from bench.stage import Stage
from postroom.base.db import open_pool
from postroom.base.log import configure_logging

COUNT: Final = 60_000
WITHIN_S: Final = 120.0


async def measure_two_runners(stage: Stage, report: Report, *, rounds: int) -> None:
    """Each drains in a process of its own, as runners do. Alternating; every round on a fresh database."""
    ratios = []
    for _ in range(rounds):
        alone = await _drain(stage, processes=1)
        ratios.append(await _drain(stage, processes=2) / alone)
    report.put("two_runners_ratio", median(ratios), spread=ratios)


async def _drain(stage: Stage, *, processes: int) -> float:
    """Deliveries a second, from the start of all until the last one ends."""
    dsn = await stage.database()
    pool = await open_pool(dsn)
    await publish(pool, COUNT)
    await pool.execute("checkpoint")
    await pool.close()
    async with open_draining(dsn, processes=processes) as runners:
        taken_s = await drain_together(runners, COUNT)
    await stage.drop(dsn)
    return COUNT / taken_s


@asynccontextmanager
async def open_draining(*dsns: str, processes: int) -> AsyncIterator[Sequence[Process]]:
    """So many processes that are ready to drain all of these, and gone afterwards."""
    pipe = asyncio.subprocess.PIPE
    runners = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.runners", *dsns, stdin=pipe, stdout=pipe
        )
        for _ in range(processes)
    ]
    try:
        async with asyncio.timeout(WITHIN_S):
            for runner in runners:
                await _line(runner)
        yield runners
    finally:
        for runner in runners:
            if runner.returncode is None:
                runner.kill()
            await runner.wait()


async def drain_together(runners: Sequence[Process], count: int) -> float:
    """Returns: seconds until all have drained.

    Errors: `RuntimeError` where that were not `count`; `TimeoutError`.
    """
    try:
        async with asyncio.timeout(WITHIN_S):
            started = time.perf_counter()
            for runner in runners:
                _start(runner)
            counts = [int(await _line(runner)) for runner in runners]
            taken_s = time.perf_counter() - started
    except TimeoutError as late:
        raise TimeoutError(f"{len(runners)} did not drain {count} within {WITHIN_S:.0f} s") from late
    if sum(counts) != count:
        raise RuntimeError(f"{count} were published, {counts} were delivered")
    return taken_s


async def _line(runner: Process) -> str:
    if runner.stdout is None or not (line := await runner.stdout.readline()):
        raise RuntimeError("a draining process ended early")
    return line.decode().strip()


def _start(runner: Process) -> None:
    if runner.stdin is None:
        raise RuntimeError("a draining process cannot be told to start")
    runner.stdin.write(b"go\n")


async def _drain_here(dsns: Sequence[str]) -> None:
    """In the child: say that it is ready, wait for a line, drain all at once, say how many."""
    async with AsyncExitStack() as stack:
        engines = [await stack.enter_async_context(open_engine(dsn)) for dsn in dsns]
        for engine in engines:
            await engine.pool.fetchval("select 1")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*(engine.drain() for engine in engines))
        print(sum(engine.noop.count for engine in engines), flush=True)


if __name__ == "__main__":
    configure_logging(json_lines=False, level="ERROR")
    uvloop.run(_drain_here(sys.argv[1:]))
