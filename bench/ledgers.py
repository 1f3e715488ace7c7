"""`ledgers_4`: one process that drains four ledgers, over one that drains as much of one.

Both have the same share of a core (see `scaling`), and are done when the last delivery is.
"""

from __future__ import annotations

import os
from statistics import median
from typing import Final

from bench.engine import publish
from bench.report import Report
from bench.runners import drain_together, open_draining
from bench.scaling import COUNT, share_of
from bench.stage import Stage
from postroom.base.db import open_pool

LEDGERS: Final = 4
KEY: Final = f"ledgers_{LEDGERS}"


async def measure_ledgers(stage: Stage, report: Report, *, rounds: int) -> None:
    """Alternating; every round on fresh databases."""
    try:
        with share_of(os.getpid(), enter=False):
            pass
    except OSError as error:
        report.skip(KEY, f"no control group of ours: {error}")
        return
    alone, together = list[float](), list[float]()
    for _ in range(rounds):
        alone.append(await _drain(stage, 1))
        together.append(await _drain(stage, LEDGERS))
    ratios = [each / median(alone) for each in together]
    note = f"{median(together):,.0f}/s of {LEDGERS}, {median(alone):,.0f}/s of one"
    report.put(KEY, median(ratios), spread=ratios, note=note)


async def _drain(stage: Stage, ledgers: int) -> float:
    """Deliveries a second, of all ledgers together."""
    dsns = [await stage.database() for _ in range(ledgers)]
    for dsn in dsns:
        pool = await open_pool(dsn, connections_max=1)
        await publish(pool, COUNT * LEDGERS // ledgers)
        await pool.execute("checkpoint")
        await pool.close()
    async with open_draining(*dsns, processes=1) as [runner]:
        with share_of(runner.pid, parts=LEDGERS):
            took_s = await drain_together([runner], COUNT * LEDGERS)
    for dsn in dsns:
        await stage.drop(dsn)
    return COUNT * LEDGERS / took_s
