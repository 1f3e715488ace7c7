"""Stripe's events and the runs of jobs, as the console reads them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from app.base.db import Connection, Record, query

LOOKED_MAX: Final = 2_000
SUMMED_MAX: Final = 5_000

_EVENTS = query(__package__, "list_stripe_events")
_SUMMARY = query(__package__, "fetch_stripe_summary")
_RUNS = query(__package__, "list_job_runs")


async def list_events(
    conn: Connection,
    *,
    state: str | None,
    type_: str | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Record]:
    """Newest first, as long as their raw bodies are kept."""
    looked_max = LOOKED_MAX if state or type_ else limit
    return list(await conn.fetch(_EVENTS, *(after or (None, None)), looked_max, state, type_, limit))


async def fetch_summary(conn: Connection) -> Record:
    """The last day in one row, of its newest 5,000 events."""
    row: Record | None = await conn.fetchrow(_SUMMARY, SUMMED_MAX)
    if row is None:
        raise RuntimeError("an aggregate without group gave no row")
    return row


async def list_job_runs(conn: Connection, job: str, *, limit: int) -> list[Record]:
    """Newest first."""
    return list(await conn.fetch(_RUNS, job, limit))
