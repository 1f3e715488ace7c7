"""Rows of workers, sleepers and jobs. The caller owns the transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from postroom.base.db import Connection, Record, query
from postroom.base.version import VERSION
from postroom.worker.model import JOB_NAMES, RUNNER, JobStatus

_RUNS = query(__package__, "list_job_runs")
_INSERT_WORKER = query(__package__, "insert_worker")
_BEAT = query(__package__, "beat")
_DELETE_WORKER = query(__package__, "delete_worker")
_LIST_DEAD = query(__package__, "list_dead")
_REMOVE_WORKER = query(__package__, "remove_worker")
_INSERT_SLEEPER = query(__package__, "insert_sleeper")
_DELETE_SLEEPER = query(__package__, "delete_sleeper")
_DELETE_SLEEPERS = query(__package__, "delete_sleepers")
_INSERT_JOB = query(__package__, "insert_job")
_CLAIM_JOB = query(__package__, "claim_job")
_START_JOB = query(__package__, "start_job")
_SUCCEEDED = query(__package__, "mark_job_succeeded")
_FAILED = query(__package__, "mark_job_failed")
_PROGRESS = query(__package__, "mark_job_progress")
_LIST_JOBS = query(__package__, "list_jobs")
_REQUEST_JOB = query(__package__, "mark_job_requested")
_NOTIFY_RUNNER = query(__package__, "notify_runner")
_PAUSE_JOB = query(__package__, "pause_job")
_LIST_OTHER_VERSIONS = query(__package__, "list_other_versions")
_PRUNE_JOB_RUNS = query(__package__, "prune_job_runs")

ERROR_MAX = 1_000


async def insert_worker(conn: Connection, *, host: str, pid: int, role: str, version: str) -> int:
    worker: int = await conn.fetchval(_INSERT_WORKER, host, pid, role, version)
    return worker


async def mark_beat(conn: Connection, *, worker: int, jobs: Sequence[str]) -> bool:
    """Returns: False when the worker was declared dead; what it holds is no longer its own."""
    return await conn.fetchval(_BEAT, worker, jobs) is not None


async def delete_worker(conn: Connection, *, worker: int) -> None:
    await conn.execute(_DELETE_WORKER, worker)


async def list_other_versions(conn: Connection) -> list[str]:
    """The versions of processes at work that are not of ours."""
    return [row["version"] for row in await conn.fetch(_LIST_OTHER_VERSIONS, VERSION)]


async def list_dead(conn: Connection, *, ttl_s: float) -> list[int]:
    return [row["id"] for row in await conn.fetch(_LIST_DEAD, ttl_s)]


async def remove_worker(conn: Connection, *, worker: int, ttl_s: float) -> None:
    """Forget a dead worker that holds no delivery any more, and free its jobs."""
    await conn.execute(_REMOVE_WORKER, worker, ttl_s)


async def insert_sleeper(conn: Connection, *, channel: str, worker: int) -> None:
    await conn.execute(_INSERT_SLEEPER, channel, worker)


async def delete_sleeper(conn: Connection, *, channel: str, worker: int) -> None:
    await conn.execute(_DELETE_SLEEPER, channel, worker)


async def delete_sleepers(conn: Connection, *, worker: int) -> None:
    await conn.execute(_DELETE_SLEEPERS, worker)


async def insert_job(conn: Connection, *, name: str, every_s: float) -> None:
    await conn.execute(_INSERT_JOB, name, every_s)


async def claim_job(
    conn: Connection, *, name: str, worker: int, next_in_s: float, ttl_s: float
) -> bool | None:
    """Take a job that is due for this worker; one without a beat for `ttl_s` loses it.

    Returns: whether a person asked for this run; None when the job is not this worker's.
    """
    requested: bool | None = await conn.fetchval(_CLAIM_JOB, name, worker, next_in_s, ttl_s)
    return requested


async def mark_job_started(conn: Connection, *, name: str) -> None:
    await conn.execute(_START_JOB, name)


async def mark_job_succeeded(
    conn: Connection, *, name: str, worker: int, started_at: datetime, work_count: int
) -> None:
    await conn.execute(_SUCCEEDED, name, worker, started_at, work_count)


async def mark_job_failed(
    conn: Connection, *, name: str, worker: int, started_at: datetime, error: str
) -> None:
    await conn.execute(_FAILED, name, worker, started_at, error[:ERROR_MAX])


async def mark_job_progress(conn: Connection, *, name: str) -> None:
    await conn.execute(_PROGRESS, name)


async def list_jobs(conn: Connection, *, timeout_s: float | None = None) -> list[JobStatus]:
    """The runner and every job, also those that have never run; then jobs of other releases."""
    known = {row["name"]: JobStatus(**row) for row in await conn.fetch(_LIST_JOBS, timeout=timeout_s)}
    names = (RUNNER, *JOB_NAMES, *sorted(set(known) - {RUNNER, *JOB_NAMES}))
    return [known.get(name, JobStatus(name)) for name in names]


async def mark_job_requested(conn: Connection, *, name: str) -> None:
    """Make it due now, and wake the runners when the caller's transaction commits."""
    await conn.execute(_REQUEST_JOB, name)
    await conn.execute(_NOTIFY_RUNNER)


async def mark_job_paused(conn: Connection, *, name: str, paused: bool) -> None:
    await conn.execute(_PAUSE_JOB, name, paused)


async def prune_job_runs(conn: Connection, *, kept_max: int) -> None:
    await conn.execute(_PRUNE_JOB_RUNS, kept_max)


async def list_job_runs(conn: Connection, job: str, *, limit: int) -> list[Record]:
    """Newest first."""
    return list(await conn.fetch(_RUNS, job, limit))
