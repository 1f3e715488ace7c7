"""`scaling_2`, `scaling_4`, `scaling_8`: runners with equal shares of processor time, over as many times one.

Each has `SHARE` of a core by a control group, so that it is the database, and nothing else, that they
share: on a machine of two cores eight runners would only wait for each other's processor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench.chain import parent_of, processor_s
from bench.engine import publish
from bench.report import Report
from bench.runners import drain_together, open_draining
from bench.stage import Stage
from postroom.base.db import open_pool

SHARE: Final = 0.05
PERIOD_US: Final = 20_000
RUNNERS: Final = (1, 2, 4, 8)
COUNT: Final = 15_000
"""Deliveries for each runner."""
V1, V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
STATEMENTS: Final = (
    "select coalesce(sum(calls), 0)::float8 from pg_stat_statements s "
    "join pg_database d on d.oid = s.dbid where d.datname = current_database()"
)


@dataclass(frozen=True, slots=True)
class Drained:
    """Deliveries a second; the rest for each delivery."""

    per_s: float
    runner_us: float
    postgres_us: float
    statements: float


async def measure_scaling(stage: Stage, report: Report, *, rounds: int) -> None:
    keys = {number: f"scaling_{number}" for number in RUNNERS[1:]}
    try:
        with share_of(os.getpid(), enter=False):
            pass
    except OSError as error:
        for key in keys.values():
            report.skip(key, f"no control group of ours: {error}")
        return
    drained = {number: [await _drain(stage, number) for _ in range(rounds)] for number in RUNNERS}
    alone = median(each.per_s for each in drained[1])
    for number, found in drained.items():
        middle = sorted(found, key=lambda each: each.per_s)[len(found) // 2]
        note = (
            f"{middle.per_s:,.0f}/s, {middle.runner_us:.1f} + {middle.postgres_us:.1f} µs, "
            f"{middle.statements:.4f} statements"
        )
        ratios = [each.per_s / alone / number for each in found]
        report.put(f"scaling_{number}", median(ratios), spread=ratios, note=note)


async def _drain(stage: Stage, number: int) -> Drained:
    """On a fresh database."""
    dsn = await stage.database()
    pool = await open_pool(dsn, connections_max=1)
    count = COUNT * number
    await publish(pool, count)
    await pool.execute("checkpoint")
    postgres = parent_of(await pool.fetchval("select pg_backend_pid()"))

    async def statements() -> float:
        return float(await pool.fetchval(STATEMENTS)) if stage.statements else 0.0

    async with open_draining(dsn, processes=number) as runners:
        pids = [runner.pid for runner in runners]
        with _shares(pids):
            before = await statements(), processor_s(postgres), sum(map(processor_s, pids))
            took_s = await drain_together(runners, count)
            after = await statements(), processor_s(postgres), sum(map(processor_s, pids))
    await pool.close()
    await stage.drop(dsn)
    calls, postgres_s, runners_s = (then - first for first, then in zip(before, after, strict=True))
    return Drained(count / took_s, runners_s / count * 1e6, postgres_s / count * 1e6, calls / count)


@contextmanager
def _shares(pids: list[int]) -> Iterator[None]:
    if not pids:
        yield
        return
    with share_of(pids[0]), _shares(pids[1:]):
        yield


@contextmanager
def share_of(pid: int, *, parts: int = 1, enter: bool = True) -> Iterator[None]:
    """A group of its own with `parts` shares, by either version of control groups. Errors: `OSError`."""
    quota = round(parts * SHARE * PERIOD_US)
    if V1.is_dir():
        top, limits = V1, {"cpu.cfs_period_us": f"{PERIOD_US}", "cpu.cfs_quota_us": f"{quota}"}
    else:
        top, limits = V2, {"cpu.max": f"{quota} {PERIOD_US}"}
    group = top / f"postroom-bench-{pid}"
    group.mkdir()
    try:
        for name, value in limits.items():
            (group / name).write_text(value)
        if enter:
            (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        with suppress(OSError):  # it has ended
            (top / "cgroup.procs").write_text(str(pid))
        group.rmdir()
