"""What an operator does to a job."""

from __future__ import annotations

from postroom.admin.audit import Actor, record
from postroom.base.db import Connection
from postroom.base.errors import NotFound
from postroom.worker.model import JOB_NAMES
from postroom.worker.store import mark_job_paused, mark_job_requested


async def request_run(conn: Connection, name: str, *, actor: Actor) -> None:
    """Ask the runners to run a job now; whoever is free takes it once the caller commits.

    Errors: `NotFound` naming the known jobs.
    """
    check_name(name)
    await mark_job_requested(conn, name=name)
    await record(conn, actor, "job.run", name)


async def set_paused(conn: Connection, name: str, *, paused: bool, actor: Actor) -> None:
    """Let a job run on request only, or by its schedule again. A run that is under way goes on.

    Errors: `NotFound` naming the known jobs.
    """
    check_name(name)
    await mark_job_paused(conn, name=name, paused=paused)
    await record(conn, actor, "job.pause" if paused else "job.unpause", name)


def check_name(name: str) -> None:
    """Errors: `NotFound` naming the known jobs."""
    if name not in JOB_NAMES:
        raise NotFound(f"no job is called {name[:50]!r}; known: {', '.join(JOB_NAMES)}")
