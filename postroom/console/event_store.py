"""Stripe's events, the runs of jobs and the audit trail, as the console reads them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from postroom.base.db import Connection, Record, query
from postroom.console.looked import Looked, looked

LOOKED_MAX: Final = 2_000
SUMMED_MAX: Final = 5_000
TRAIL_LOOKED_MAX: Final = 10_000

_EVENTS = query(__package__, "list_stripe_events")
_SUMMARY = query(__package__, "fetch_stripe_summary")
_RUNS = query(__package__, "list_job_runs")
_TRAIL = query(__package__, "list_trail")


async def list_events(
    conn: Connection,
    *,
    state: str | None,
    type_: str | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> Looked:
    """Newest first, as long as their raw bodies are kept; of the newest `LOOKED_MAX` that may fit."""
    looked_max = LOOKED_MAX if state or type_ else limit + 1
    rows = await conn.fetch(_EVENTS, *(after or (None, None)), looked_max, state, type_, limit + 1)
    return looked(rows, ("received_at", "event_id"), limit=limit)


async def fetch_summary(conn: Connection) -> Record:
    """The last day in one row, of its newest 5,000 events."""
    row: Record | None = await conn.fetchrow(_SUMMARY, SUMMED_MAX)
    if row is None:
        raise RuntimeError("an aggregate without group gave no row")
    return row


async def list_job_runs(conn: Connection, job: str, *, limit: int) -> list[Record]:
    """Newest first."""
    return list(await conn.fetch(_RUNS, job, limit))


async def list_trail(
    conn: Connection, *, actor: str | None, action: str | None, below_id: int | None, limit: int
) -> Looked:
    """The audit trail, newest first; of the newest `TRAIL_LOOKED_MAX` that may fit. `detail` is JSON text."""
    looked_max = TRAIL_LOOKED_MAX if actor or action else limit + 1
    rows = await conn.fetch(_TRAIL, below_id, actor, action, looked_max, limit + 1)
    return looked(rows, ("id",), limit=limit)
