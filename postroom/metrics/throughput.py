"""What flowed in the last hours and days, sampled into a row a minute: the charts' own data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from postroom.base.db import Connection, Pool, query, transaction

KEPT_DAYS: Final = 8

_SAMPLE_FLOW = query(__package__, "sample_flow")
_SAMPLE_LEVELS = query(__package__, "sample_levels")
_PRUNE = query(__package__, "prune_flow")
_LIST = query(__package__, "list_flow")


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One label in one step of time; `step` counts from the start that was asked for."""

    step: int
    label: str
    value: int


async def sample_flow(pool: Pool) -> int:
    """Book what the counters have grown by to the current minute; the canary calls it after its count.

    Non-promise: what grew while nobody sampled is booked to the minute of the next sample.
    """
    async with transaction(pool) as conn:
        await conn.execute(_SAMPLE_FLOW)
        await conn.execute(_SAMPLE_LEVELS)
        await conn.execute(_PRUNE, KEPT_DAYS)
    return 1


async def list_flow(
    conn: Connection, *, since: datetime, step_s: float, labels: Sequence[str]
) -> list[FlowStep]:
    """Sums (of a level: the highest) by step and label; steps in which nothing happened are left out."""
    return [FlowStep(**row) for row in await conn.fetch(_LIST, since, step_s, list(labels))]
