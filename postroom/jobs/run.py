"""The runner, or one job by hand: what `postroom work` does."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
import uvloop

from postroom.base import garbage
from postroom.base.db import DATABASE_AWAY
from postroom.base.ensure_schema import ensure_schema
from postroom.base.errors import SettingsInvalid, Unavailable
from postroom.base.log import configure_logging, get_logger
from postroom.base.notify import notify, watchdog
from postroom.base.settings import Settings, load_settings
from postroom.base.tracing import tracing
from postroom.jobs.catalog import DELIVERS, catalog
from postroom.jobs.no_fork import no_fork
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
ATTACH_AGAIN_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command was told: one job or all, once or until it is stopped, some channels or all."""

    job: str | None = None
    once: bool = False
    channels: Collection[Channel] = ()


async def run(settings: Settings, dsn: str, wanted: Wanted) -> int:
    """Run until stopped by SIGTERM, SIGINT or SIGHUP, or once. Returns: the exit code."""
    stop = asyncio.Event()
    async with watchdog():
        return await attach(settings, dsn, wanted, stop=stop, attached=partial(end_by_signal, stop))


async def attach(
    settings: Settings, dsn: str, wanted: Wanted, *, stop: asyncio.Event, attached: Callable[[], object]
) -> int:
    """Work at one ledger until `stop`, or once. Returns: the exit code.

    `attached`: called when it is a worker there, and before it works on until `stop`.
    """
    wait_s = ONCE_WAIT_S if wanted.once else None
    async with AsyncExitStack() as stack:
        await _wait_for_schema(settings, dsn, wait_s)
        parts = await stack.enter_async_context(open_worker(settings, dsn, role="jobs-runner", wait_s=wait_s))
        jobs = catalog(parts, wanted.channels)
        chosen = [jobs[wanted.job]] if wanted.job is not None else list(jobs.values())
        if wanted.once:
            return await _once(parts, chosen, requested=wanted.job is not None)
        attached()
        garbage.search_less()
        log.info("runner.started", jobs=[job.name for job in chosen], worker=parts.worker.id)
        await _runner(parts, chosen).run(stop)
        log.info("runner.stopped")
        return DONE


async def _wait_for_schema(settings: Settings, dsn: str, wait_s: float | None) -> None:
    """A runner that starts before its database, or before the migration, waits and says so.

    One of several ledgers is only looked at, also in dev: migrations are run one at a time in a process.
    """
    prod, whose = settings.prod or settings.ledger is not None, _whose(settings)
    async with asyncio.timeout(wait_s):
        while True:
            try:
                return await ensure_schema(dsn, prod=prod)
            except Unavailable:
                if wait_s is not None:
                    raise
                log.warning("runner.waits_for_migration", mend="postroom migrate")
                notify(STATUS=f"{whose}waits for postroom migrate")
            except DATABASE_AWAY as error:
                log.warning("runner.waits_for_database", error=repr(error))
                notify(STATUS=f"{whose}waits for the database")
            await asyncio.sleep(DATABASE_RETRY_S)


async def _once(parts: WorkerServices, jobs: Sequence[Job], *, requested: bool) -> int:
    runner, whose = _runner(parts, jobs), _whose(parts.services.settings)
    failed = False
    for job in jobs:
        try:
            work_count = await runner.run_once(job, requested=requested)
            print(f"{whose}{job.name}: done, {work_count} handled")
        except Exception as error:
            # The command's whole purpose is to report any failure of a job with exit code 1.
            log.exception("job.failed", job=job.name)
            print(f"{whose}{job.name}: failed: {type(error).__name__}: {error}", file=sys.stderr)
            failed = True
    return FAILED if failed else DONE


def end_by_signal(stop: asyncio.Event) -> None:
    """From now on SIGTERM, SIGINT and SIGHUP set it."""

    def end() -> None:
        notify(STOPPING="1", STATUS="finishing what is in flight")
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            asyncio.get_running_loop().add_signal_handler(number, end)


def _whose(settings: Settings) -> str:
    """How a line begins that is about one of several ledgers."""
    return f"{settings.ledger}: " if settings.ledger else ""


def _runner(parts: WorkerServices, jobs: Sequence[Job]) -> Runner:
    services = parts.services
    return Runner(
        pool=services.pool,
        clock=services.clock,
        worker=parts.worker,
        wakeup=parts.wakeup,
        jobs=jobs,
        whose=_whose(services.settings),
    )


async def run_ledgers(settings: Settings, wanted: Wanted) -> int:
    """The same for every ledger, side by side: each as if it were alone. Returns: the worst exit code.

    A ledger that is away is waited for, and one that fails is attached again; no other one hears of it.
    Errors: `SettingsInvalid`, which all of them have in common.
    """
    stop = asyncio.Event()
    end_by_signal(stop)
    async with watchdog():
        tasks = [
            asyncio.create_task(_keep_attached(settings.of_ledger(name), wanted, stop), name=name)
            for name in settings.ledgers
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        stop.set()
        return max(await asyncio.gather(*tasks))


async def _keep_attached(settings: Settings, wanted: Wanted, stop: asyncio.Event) -> int:
    structlog.contextvars.bind_contextvars(ledger=settings.ledger)
    while not stop.is_set():
        try:
            return await _attach_until(settings, wanted, stop)
        except SettingsInvalid:
            raise
        except Exception as error:
            log.exception("ledger.failed", error=repr(error))
            if wanted.once:
                print(f"{_whose(settings)}failed: {type(error).__name__}: {error}", file=sys.stderr)
                return FAILED
        with suppress(TimeoutError):
            async with asyncio.timeout(ATTACH_AGAIN_S):
                await stop.wait()
    return DONE


async def _attach_until(settings: Settings, wanted: Wanted, stop: asyncio.Event) -> int:
    """What only waits to be attached does not hold up a stop."""
    dsn = settings.database_url.get_secret_value() if settings.database_url else ""
    attached = asyncio.Event()
    work = asyncio.create_task(attach(settings, dsn, wanted, stop=stop, attached=attached.set))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not attached.is_set() and stop.is_set():
            work.cancel()
        await asyncio.wait((work,))
        if work.cancelled():
            if stop.is_set():
                return DONE
            raise RuntimeError("the ledger's work was cancelled, and nobody asked for that")
        return work.result()
    finally:
        stopping.cancel()
        work.cancel()


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
    configure_logging(json_lines=settings.json_lines, level=settings.log_level.upper())
    wanted = Wanted(job=job, once=once, channels=channels)
    with tracing("postroom-runner"):
        if settings.ledgers:
            with no_fork():
                return uvloop.run(run_ledgers(settings, wanted))
        url = settings.database_url.get_secret_value() if settings.database_url else None
        with resolve(database_url=url, state_dir=settings.state_dir) as database, no_fork():
            return uvloop.run(run(settings, database.dsn, wanted))
