"""Tasks as people read them: how each went, and which are under way; by bounded scans along an index."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from postroom.base.db import Connection, query
from postroom.outbox.lanes import FIRST_STATES, RETRY_STATES
from postroom.outbox.ledger.messages import first_id_at
from postroom.outbox.model import Channel

SCAN_MAX: Final = 10_000
WAITING_SCAN_MAX: Final = 2_000
RATE_OVER_S: Final = 300.0
"""Over how long a rate is taken."""

_LIST: Final = query(__package__, "list_tasks")
_UNDER_WAY: Final = query(__package__, "list_under_way")


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """A task by its name: attempts that succeeded and failed, what is dead, and how long an attempt took, in
    ms: half of them at most `median_ms`, 19 of 20 at most `p95_ms`; None where none ran.

    `per_s`: attempts that ended in the last full minutes of `RATE_OVER_S`; None where none was counted under
    this name since then, as beyond the first `counts.NAMED_MAX`.
    """

    name: str
    delivered: int
    failed: int
    dead: int
    median_ms: int | None
    p95_ms: int | None
    per_s: float | None


@dataclass(frozen=True, slots=True)
class TaskUnderWay:
    """One that a runner has taken.

    `progress`: from 0 to 1, if it tells; `cancelled_by`: who has asked it to end.
    """

    message_id: UUID
    name: str
    attempt: int
    claimed_at: datetime
    progress: float | None
    cancelled_by: str | None


async def list_tasks(conn: Connection, *, since: datetime, limit: int) -> tuple[list[TaskSummary], bool]:
    """What was published since then, what died, and what ran, by name; those with the most attempts first.

    Looks at the newest `SCAN_MAX` messages of all channels. Returns also: whether there are more.
    """
    rows = await conn.fetch(_LIST, Channel.TASK, since, first_id_at(since), SCAN_MAX, limit, RATE_OVER_S)
    found = [
        TaskSummary(**{name: value for name, value in row.items() if name != "cut"})
        for row in rows
        if row["name"] is not None
    ]
    return found, rows[0]["cut"]


async def list_under_way(conn: Connection, *, limit: int) -> list[TaskUnderWay]:
    """The longest first, of the `WAITING_SCAN_MAX` of each lane that are due the longest."""
    states = sorted(FIRST_STATES | RETRY_STATES)
    rows = await conn.fetch(_UNDER_WAY, Channel.TASK, states, WAITING_SCAN_MAX, limit)
    return [TaskUnderWay(**row) for row in rows]
