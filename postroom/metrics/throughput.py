"""What flowed in the last hours and days, sampled into a row a minute: the charts' own data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from postroom.base.db import Connection, Pool, query, transaction

KEPT_DAYS: Final = 8

_SAMPLE_THROUGHPUT = query(__package__, "sample_throughput")
_SAMPLE_LEVELS = query(__package__, "sample_throughput_levels")
_PRUNE = query(__package__, "prune_throughput")
_LIST = query(__package__, "list_throughput")


@dataclass(frozen=True, slots=True)
class ThroughputStep:
    """One label in one step of time; `step` counts from the start that was asked for."""

    step: int
    label: str
    value: int


async def sample_throughput(pool: Pool) -> int:
    """Book what the counters have grown by to the current minute; the canary calls it after its count.

    Does not promise: what grew while nobody sampled is booked to the minute of the next sample.
    """
    async with transaction(pool) as conn:
        await conn.execute(_SAMPLE_THROUGHPUT)
        await conn.execute(_SAMPLE_LEVELS)
        await conn.execute(_PRUNE, KEPT_DAYS)
    return 1


async def list_throughput(
    conn: Connection, *, since: datetime, step_s: float, labels: Sequence[str]
) -> list[ThroughputStep]:
    """Sums (of a level: the highest) by step and label; steps in which nothing happened are left out."""
    return [ThroughputStep(**row) for row in await conn.fetch(_LIST, since, step_s, list(labels))]
