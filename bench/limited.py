"""What a limit costs where it is not the limit."""

from __future__ import annotations

from statistics import median
from typing import Final

from bench.engine import open_engine, publish
from bench.report import Report
from bench.stage import Stage
from postroom.base.db import transaction
from postroom.outbox.limits import LimitKey, remove_limit, set_limit

COUNT: Final = 40_000
TURNS: Final = 2
FAR_ABOVE: Final = 1_000_000


async def measure_limited(stage: Stage, report: Report, *, rounds: int) -> None:
    """`limited_ratio`: a drain under limits far above its rate over one without, in turns."""
    dsn = await stage.database()
    ratios = []
    for round_ in range(rounds):
        took_s = {True: 0.0, False: 0.0}
        for turn in range(TURNS):
            for limited in (True, False) if turn % 2 else (False, True):
                took_s[limited] += await _drain_s(dsn, f"{round_}.{turn}.{limited}:", limited=limited)
        ratios.append(took_s[False] / took_s[True])
    await stage.drop(dsn)
    report.put("limited_ratio", median(ratios), spread=ratios)


async def _drain_s(dsn: str, prefix: str, *, limited: bool) -> float:
    async with open_engine(dsn) as engine:
        async with transaction(engine.pool) as conn:
            await remove_limit(conn, LimitKey("email"))
            if limited:
                await set_limit(
                    conn,
                    LimitKey("email"),
                    per_second=float(FAR_ABOVE),
                    in_flight=FAR_ABOVE,
                    reason="measured",
                    set_by="bench",
                )
        await publish(engine.pool, COUNT, prefix=prefix)
        await engine.pool.execute("checkpoint")
        return COUNT / await engine.drain()
