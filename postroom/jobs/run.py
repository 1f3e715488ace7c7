"""The runner, or one job by hand: what `postroom work` does."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from typing import Final

import uvloop

from postroom.base import garbage
from postroom.base.db import DATABASE_AWAY
from postroom.base.errors import Unavailable
from postroom.base.log import configure_logging, get_logger
from postroom.base.migrate import ensure_schema
from postroom.base.notify import notify, watchdog
from postroom.base.settings import Settings, load_settings
from postroom.base.tracing import tracing
from postroom.jobs.catalog import DELIVERS, catalog
from postroom.outbox.model import Channel
from postroom.postgres.resolve import resolve
from postroom.wiring import DATABASE_RETRY_S, WorkerServices, open_worker
from postroom.worker.loop import Runner
from postroom.worker.model import JOB_NAMES, Job

log = get_logger(__name__)

DONE: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
ONCE_WAIT_S: Final = 30.0


async def run(
    settings: Settings, dsn: str, *, job: str | None, once: bool, channels: Collection[Channel]
) -> int:
    """Run until stopped by SIGTERM, SIGINT or SIGHUP, or once. Returns: the exit code."""
    wait_s = ONCE_WAIT_S if once else None
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(watchdog())
        await _wait_for_schema(settings, dsn, wait_s)
        parts = await stack.enter_async_context(open_worker(settings, dsn, role="jobs-runner", wait_s=wait_s))
        jobs = catalog(parts, channels)
        chosen = [jobs[job]] if job is not None else list(jobs.values())
        requested = job is not None
        return await (_once(parts, chosen, requested=requested) if once else _until_stopped(parts, chosen))


async def _wait_for_schema(settings: Settings, dsn: str, wait_s: float | None) -> None:
    """A runner that starts before its database, or before the migration, waits and says so."""
    async with asyncio.timeout(wait_s):
        while True:
            try:
                return await ensure_schema(dsn, prod=settings.prod)
            except Unavailable:
                if wait_s is not None:
                    raise
                log.warning("runner.waits_for_migration", mend="postroom migrate")
                notify(STATUS="waits for postroom migrate")
            except DATABASE_AWAY as error:
                log.warning("runner.waits_for_database", error=repr(error))
                notify(STATUS="waits for the database")
            await asyncio.sleep(DATABASE_RETRY_S)


async def _once(parts: WorkerServices, jobs: Sequence[Job], *, requested: bool) -> int:
    runner = _runner(parts, jobs)
    failed = False
    for job in jobs:
        try:
            work_count = await runner.run_once(job, requested=requested)
            print(f"{job.name}: done, {work_count} handled")
        except Exception as error:
            # The command's whole purpose is to report any failure of a job with exit code 1.
            log.exception("job.failed", job=job.name)
            print(f"{job.name}: failed: {type(error).__name__}: {error}", file=sys.stderr)
            failed = True
    return FAILED if failed else DONE


async def _until_stopped(parts: WorkerServices, jobs: Sequence[Job]) -> int:
    stop = asyncio.Event()

    def end() -> None:
        notify(STOPPING="1", STATUS="finishing what is in flight")
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            asyncio.get_running_loop().add_signal_handler(number, end)
    garbage.search_less()
    log.info("runner.started", jobs=[job.name for job in jobs], worker=parts.worker.id)
    await _runner(parts, jobs).run(stop)
    log.info("runner.stopped")
    return DONE


def _runner(parts: WorkerServices, jobs: Sequence[Job]) -> Runner:
    services = parts.services
    return Runner(
        pool=services.pool, clock=services.clock, worker=parts.worker, wakeup=parts.wakeup, jobs=jobs
    )


def run_jobs(*, job: str | None, once: bool, channels: Collection[Channel] = ()) -> int:
    """The whole command: settings, database, jobs. Returns: 0 done, 1 a job failed, 2 there is no such job.

    `channels`: what it delivers; everything where none is named.

    Errors: `SettingsInvalid`, `PostroomError`, one of `DATABASE_AWAY`.
    """
    if job is not None and job not in JOB_NAMES:
        print(f"There is no job {job!r}. Known jobs: {', '.join(JOB_NAMES)}.", file=sys.stderr)
        return WRONG_USE
    if job in DELIVERS and channels and not set(channels) & set(DELIVERS[job]):
        print(f"{job} delivers {', '.join(DELIVERS[job])}, and none of these is named.", file=sys.stderr)
        return WRONG_USE
    settings = load_settings(serves=False)
    if settings.ledgers:
        print(f"Which ledger? POSTROOM_LEDGER is one of {', '.join(settings.ledgers)}.", file=sys.stderr)
        return WRONG_USE
    configure_logging(json_lines=settings.json_lines, level=settings.log_level.upper())
    url = settings.database_url.get_secret_value() if settings.database_url else None
    with tracing("postroom-runner"), resolve(database_url=url, state_dir=settings.state_dir) as database:
        return uvloop.run(run(settings, database.dsn, job=job, once=once, channels=channels))
