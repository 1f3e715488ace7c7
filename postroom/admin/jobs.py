"""What an operator does to a job."""

from __future__ import annotations

from postroom.base.db import Connection, query
from postroom.base.errors import NotFound
from postroom.worker.model import JOB_NAMES

_REQUEST = query(__package__, "mark_job_requested")
_WAKE = query(__package__, "notify_runner")


async def request_run(conn: Connection, name: str) -> None:
    """Ask the runners to run a job now; whoever is free takes it once the caller commits.

    Errors: `NotFound` naming the known jobs.
    """
    if name not in JOB_NAMES:
        raise unknown_job(name)
    await conn.execute(_REQUEST, name)
    await conn.execute(_WAKE)


def unknown_job(name: str) -> NotFound:
    return NotFound(f"no job is called {name[:50]!r}; known: {', '.join(JOB_NAMES)}")
