"""The jobs: when each last beat and succeeded, how long its runs take; run now, pause."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from starlette.responses import Response

from postroom.admin.jobs import check_name, request_run, set_paused
from postroom.admin.tokens import Scope
from postroom.base.db import Record
from postroom.console.access.security import Form
from postroom.console.page_request import PageRequest
from postroom.console.view.charts import Chart, Series, stacked
from postroom.health.thresholds import JOB_STALE_S, RUNNER_SILENT_S
from postroom.worker.model import RUNNER, JobStatus
from postroom.worker.store import list_job_runs, list_jobs

RUNS_SHOWN: Final = 60
PLACE: Final = "/console/jobs"


def job_health(job: JobStatus, now: datetime) -> str:
    """In one word how a job is, judged as the alerts judge it; silence comes before everything else."""
    beat_at, every_s = job.last_heartbeat_at, job.every_s or 0.0
    if job.paused:
        return "paused"
    if beat_at is None:
        return "never ran"
    if (now - beat_at).total_seconds() > max(RUNNER_SILENT_S, 3 * every_s):
        return "silent"
    if job.consecutive_failures:
        return "failing"
    succeeded_at = job.last_success_at
    if succeeded_at and (now - succeeded_at).total_seconds() > max(JOB_STALE_S, 3 * every_s):
        return "stale"
    return "running" if job.running_since and every_s > 1.5 else "well"


async def jobs(request: PageRequest) -> Response:
    async with request.console.snapshot() as conn:
        found = await list_jobs(conn)
        runs = {
            job.name: await list_job_runs(conn, job.name, limit=30) for job in found if job.name != RUNNER
        }
    return request.page(
        "jobs.html",
        active="jobs",
        jobs=found,
        statuses={job.name: job_health(job, request.console.clock.now()) for job in found},
        runner=RUNNER,
        runs=runs,
        may_run=request.may(Scope.JOBS_RUN),
    )


async def job(request: PageRequest) -> Response:
    """One job with its last runs."""
    name = _name(request)
    async with request.console.snapshot() as conn:
        [found] = [each for each in await list_jobs(conn) if each.name == name]
        runs = await list_job_runs(conn, name, limit=RUNS_SHOWN)
    return request.page(
        "job.html",
        active="jobs",
        job=found,
        job_health=job_health(found, request.console.clock.now()),
        runs=runs,
        chart=_durations(runs),
        may_run=request.may(Scope.JOBS_RUN),
    )


async def run_now(request: PageRequest, _form: Form) -> Response:
    name = _name(request)
    async with request.console.transaction() as conn:
        await request_run(conn, name, actor=request.actor)
    return request.back(f"{PLACE}/{name}", "Asked for: a free runner takes it.")


async def pause(request: PageRequest, _form: Form) -> Response:
    return await _set_paused(request, paused=True)


async def unpause(request: PageRequest, _form: Form) -> Response:
    return await _set_paused(request, paused=False)


async def _set_paused(request: PageRequest, *, paused: bool) -> Response:
    name = _name(request)
    async with request.console.transaction() as conn:
        await set_paused(conn, name, paused=paused, actor=request.actor)
    return request.back(
        f"{PLACE}/{name}", "Paused: it runs on request only." if paused else "Scheduled again."
    )


def _name(request: PageRequest) -> str:
    name = str(request.http.path_params["name"])
    check_name(name)
    return name


def _durations(runs: list[Record]) -> Chart | None:
    """The length of each run in ms, oldest first; bars stand for runs here, not for equal times."""
    if not runs:
        return None
    ordered = runs[::-1]
    lengths = [max(1, round(run["duration_s"] * 1000)) for run in ordered]
    failed = [run["outcome"] == "failed" for run in ordered]
    series = (
        Series("ms, succeeded", "good", [0 if bad else ms for ms, bad in zip(lengths, failed, strict=True)]),
        Series("ms, failed", "bad", [ms if bad else 0 for ms, bad in zip(lengths, failed, strict=True)]),
    )
    return stacked("Duration of the last runs", series, times=[run["started_at"] for run in ordered])
