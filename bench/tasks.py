"""Rows about tasks: functions that do nothing, so that what is measured is how they are called."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.engine import PUBLISH_MANY, open_engine
from bench.report import Report
from bench.stage import Stage, run
from chaos.rabbitmq import rabbitmq
from postroom import task
from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.json import encode
from postroom.base.task_settings import TaskSettings
from postroom.channels.tasks.adapter import TaskAdapter

PROCESSES: Final = 4
"""As many as the peers' prefork row has."""
PYTHON_PEERS: Final = ("celery", "pgqueuer", "procrastinate")


@task("bench.async")
async def nothing(number: int) -> None: ...


@task("bench.apart")
def nothing_apart(number: int) -> None: ...


async def measure_tasks(stage: Stage, report: Report, *, rounds: int, count: int) -> None:
    """`tasks_per_s`: async ones in the runner's loop; `tasks_apart_per_s`: others, in four processes.

    Both beside peers, where the run has them: Celery where CELERY names a Python that has it.
    """
    if python := os.environ.get("CELERY"):
        with tempfile.TemporaryDirectory() as folder, rabbitmq(Path(folder) / "rabbitmq") as server:
            arguments = [python, "celery_noop.py", f"{count // 4}", f"{PROCESSES}"]
            env = os.environ | {"BROKER": server.url()}
            report.peers.append(json.loads(run(arguments, env=env, cwd=Path(__file__).parent / "peers")))
    for key, each, share in (("tasks_per_s", nothing, 1), ("tasks_apart_per_s", nothing_apart, 4)):
        rates = []
        for _ in range(rounds):
            dsn = await stage.database()
            async with open_engine(dsn, _adapter) as engine:
                await _publish(engine.pool, each.name, 100)
                await engine.drain()  # the processes have started
                await _publish(engine.pool, each.name, count // share)
                rates.append(await engine.drain())
            await stage.drop(dsn)
        report.put(key, median(rates), spread=rates)
    _beside(report, "tasks_over_fastest_peer", "tasks_per_s", PYTHON_PEERS)
    _beside(report, "tasks_apart_over_celery", "tasks_apart_per_s", ("celery",))


def _beside(report: Report, key: str, ours: str, peers: tuple[str, ...]) -> None:
    """How many times as many as the fastest of these peers, which the same run has measured before."""
    best = report.fastest(peers)
    if best is None or ours not in report.figures:
        report.skip(key, f"no jobs of {' or '.join(peers)} that do nothing in this run")
    else:
        report.put(key, report.figures[ours] / best)


def _adapter(pool: Pool) -> TaskAdapter:
    settings = TaskSettings(processes=PROCESSES)
    tasks: dict[str, Any] = {each.name: each for each in (nothing, nothing_apart)}
    return TaskAdapter(
        pool=pool, clock=SystemClock(), settings=settings, tasks=tasks, places=("bench.tasks",)
    )


async def _publish(pool: Pool, name: str, count: int) -> None:
    for start in range(0, count, 1_000):
        messages = [
            {"channel": "task", "payload": {"task": name, "args": {"number": number}}}
            for number in range(start, min(start + 1_000, count))
        ]
        await pool.execute(PUBLISH_MANY, encode(messages), timeout=60)
