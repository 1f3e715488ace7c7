"""`postroom jobs`: how background jobs are, and the button that runs one."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Final

import typer

from postroom.admin.jobs import request_run, set_paused
from postroom.base.errors import PostroomError
from postroom.cli.output import JsonFlag, console, examples, print_json, print_table
from postroom.cli.session import Session, in_session, in_transaction
from postroom.worker.model import JOB_NAMES, JobStatus
from postroom.worker.store import list_jobs

group = typer.Typer(help="Background jobs.", invoke_without_command=True)

POLL_S: Final = 0.3

JobName = Annotated[str, typer.Argument(help=f"One of {', '.join(JOB_NAMES)}.")]


class JobRunFailed(PostroomError):
    """The job that was waited for failed, or no runner took it in time."""


@group.callback()
def jobs(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Background jobs. Without a command of its own: list them."""
    if context.invoked_subcommand is None:
        list_(as_json=as_json)


@group.command("list")
@group.command("status", hidden=True)
def list_(as_json: JsonFlag = False) -> None:
    """Every job: when it last ran, whether it fails, when it runs next."""

    async def work(session: Session) -> list[JobStatus]:
        return await list_jobs(session.conn)

    jobs = in_session(work)
    if as_json:
        print_json(jobs)
        return
    print_table(
        ("JOB", "STATE", "LAST HEARTBEAT", "LAST SUCCESS", "NEXT RUN", "LAST ERROR"),
        (
            (j.name, _state(j), j.last_heartbeat_at, j.last_success_at, j.next_run_at, j.last_error)
            for j in jobs
        ),
        empty="There is no job.",
    )


@group.command(epilog=examples("postroom jobs run email-dlq", "postroom jobs run canary --no-wait"))
def run(
    name: JobName,
    wait: Annotated[bool, typer.Option(help="Wait until a runner has run it.")] = True,
    timeout_s: Annotated[float, typer.Option(min=1, help="How long to wait, in seconds.")] = 60.0,
) -> None:
    """Ask the running runners to run a job now.

    Without a runner: postroom work --job NAME --once
    """
    _check(name)

    async def work(session: Session) -> JobStatus | None:
        before = await _status(session, name)
        async with session.change() as conn:
            await request_run(conn, name, actor=session.actor)
        return await _wait(session, before, timeout_s) if wait else None

    with console(stderr=True).status(f"waiting for a runner to run {name}"):
        after = in_session(work)
    if after is None:
        print(f"{name}: asked for; a runner takes it within seconds.")
    elif after.consecutive_failures:
        raise JobRunFailed(f"{name} failed: {after.last_error}")
    else:
        print(f"{name}: done.")


@group.command(epilog=examples("postroom jobs pause email-dlq"))
def pause(name: JobName) -> None:
    """Take a job off its schedule: it runs only on request. A run in progress continues."""
    _set_paused(name, paused=True)


@group.command(epilog=examples("postroom jobs unpause email-dlq"))
def unpause(name: JobName) -> None:
    """Put a job back on its schedule."""
    _set_paused(name, paused=False)


def _set_paused(name: str, *, paused: bool) -> None:
    _check(name)
    in_transaction(lambda s: set_paused(s.conn, name, paused=paused, actor=s.actor))
    print(f"{name}: paused; it runs on request only." if paused else f"{name}: scheduled again.")


def _check(name: str) -> None:
    if name not in JOB_NAMES:
        raise typer.BadParameter(f"there is no job {name!r}; known: {', '.join(JOB_NAMES)}")


async def _status(session: Session, name: str) -> JobStatus:
    return next(job for job in await list_jobs(session.conn) if job.name == name)


async def _wait(session: Session, before: JobStatus, timeout_s: float) -> JobStatus:
    try:
        async with asyncio.timeout(timeout_s):
            while _ended_at(after := await _status(session, before.name)) == _ended_at(before):
                await asyncio.sleep(POLL_S)
            return after
    except TimeoutError:
        raise JobRunFailed(
            f"no runner ran {before.name} within {timeout_s:g} s. Is one running? See: postroom doctor. "
            f"By hand: postroom work --job {before.name} --once"
        ) from None


def _ended_at(job: JobStatus) -> tuple[datetime | None, datetime | None]:
    return job.last_success_at, job.last_failure_at


def _state(job: JobStatus) -> str:
    if job.consecutive_failures:
        return f"failing ({job.consecutive_failures})"
    if job.paused:
        return "paused"
    if job.running_since is not None:
        return "running"
    return "ok" if job.last_success_at or job.last_heartbeat_at else "never ran"
