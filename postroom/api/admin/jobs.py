"""/v1/admin/jobs: how every job is, and the button that runs one now."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from postroom.admin import jobs
from postroom.api.admin.callers import GuardedRoute, JobStarter, Reader
from postroom.api.context import ContextDependency
from postroom.worker import store
from postroom.worker.model import JobStatus

router = APIRouter(prefix="/v1/admin/jobs", tags=["jobs"], route_class=GuardedRoute)


class JobList(BaseModel):
    jobs: list[JobStatus]


class Requested(BaseModel):
    """The run is due now; whichever runner is free takes it."""

    job: str
    requested: bool = True


@router.get("/status")
async def list_jobs(context: ContextDependency, _: Reader) -> JobList:
    """Every job: last heartbeat, last success, consecutive failures, last error, next run."""
    async with context.snapshot() as conn:
        return JobList(jobs=await store.list_jobs(conn))


@router.post("/{name}/run", status_code=202)
async def run_job(name: str, context: ContextDependency, caller: JobStarter) -> Requested:
    """Run a job as soon as a runner is free. 404 names the known jobs."""
    async with context.transaction() as conn:
        await jobs.request_run(conn, name, actor=caller)
    return Requested(job=name)
