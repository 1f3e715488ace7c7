"""Jobs as an operator sees them, and the button that runs one now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from postroom.base.db import Connection, query
from postroom.base.errors import NotFound
from postroom.worker import store
from postroom.worker.model import JOBS_RUNNER, JobState

_REQUEST = query(__package__, "mark_job_requested")
_WAKE = query(__package__, "notify_runner")

RUNNER: Final = JOBS_RUNNER
CATALOG: Final = (
    "outbox-delivery",
    "stripe-events",
    "email-dlq",
    "lease-rescue",
    "retention",
    "canary",
    "sealing",
)
"""Every job by name; `postroom.jobs.catalog` must hold exactly these."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One job. A `paused` job runs on request only; `last_error` is empty after a success."""

    name: str
    last_heartbeat_at: datetime | None = None
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    consecutive_failures: int = 0
    last_error: str | None = None
    next_run_at: datetime | None = None
    running_since: datetime | None = None
    every_s: float | None = None
    paused: bool = False


async def list_jobs(conn: Connection) -> list[JobStatus]:
    """The runner and every job of the catalog, also those that have never run."""
    known = {state.name: _status(state) for state in await store.list_jobs(conn)}
    names = (RUNNER, *CATALOG, *sorted(set(known) - {RUNNER, *CATALOG}))
    return [known.get(name, JobStatus(name)) for name in names]


async def request_run(conn: Connection, name: str) -> None:
    """Ask the runners to run a job now; whoever is free takes it once the caller commits.

    Errors: `NotFound` naming the known jobs.
    """
    if name not in CATALOG:
        raise unknown_job(name, CATALOG)
    await conn.execute(_REQUEST, name)
    await conn.execute(_WAKE)


def unknown_job(name: str, known: Iterable[str]) -> NotFound:
    return NotFound(f"no job is called {name[:50]!r}; known: {', '.join(known)}")


def _status(state: JobState) -> JobStatus:
    return JobStatus(
        name=state.name,
        last_heartbeat_at=state.beat_at,
        last_success_at=state.succeeded_at,
        last_failure_at=state.failed_at,
        consecutive_failures=state.failures,
        last_error=state.last_error,
        next_run_at=None if state.name == RUNNER else state.next_run_at,
        running_since=state.started_at if state.worker is not None else None,
        every_s=state.every_s,
        paused=state.paused,
    )
