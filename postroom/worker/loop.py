"""The runner: every job at its time, none in the way of another."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog

from postroom.base.cancelling import cancel
from postroom.base.clock import Clock
from postroom.base.db import DATABASE_AWAY, Pool
from postroom.base.log import get_logger, remove_secrets
from postroom.base.notify import notify
from postroom.worker import store
from postroom.worker.heartbeat import WORKER_TTL_S, Worker
from postroom.worker.model import RUNNER, Job, JobContext
from postroom.worker.wakeup import Wakeup

log = get_logger(__name__)

STOP_WITHIN_S: Final = 25.0
LOOK_S: Final = 2.0
FAILED_PAUSE_S: Final = 2.0
FAILED_PAUSE_MAX_S: Final = 60.0
AWAY_PAUSE_S: Final = 1.0
PROGRESS_S: Final = 5.0


class Runner:
    """Runs jobs until it is stopped.

    Promise: a failing job is recorded and tried again and stops no other; a periodic job runs in
    one runner at a time. Stopping lets running jobs end within `STOP_WITHIN_S`, then cancels them.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        clock: Clock,
        worker: Worker,
        wakeup: Wakeup,
        jobs: Sequence[Job],
        whose: str = "",
    ) -> None:
        """`whose`: how the line about its state begins."""
        self._pool = pool
        self._clock = clock
        self._worker = worker
        self._wakeup = wakeup
        self._jobs = jobs
        self._whose = whose

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set and the jobs have ended.

        Errors: `RuntimeError` where a job's loop, the heartbeat or the wakeup has ended before that: its work
        would not be done any more, and everything else would look well. The other jobs have ended by then.
        """
        await self._make_known_in_the_end(stop)
        self._worker.running_jobs.add(RUNNER)
        background = [
            asyncio.create_task(self._worker.beating(), name="heartbeat"),
            asyncio.create_task(self._wakeup.listening(), name="wakeup"),
        ]
        ending = asyncio.Event()
        loops = [asyncio.create_task(self._loop(job, ending), name=job.name) for job in self._jobs]
        notify(READY="1", STATUS=f"{self._whose}{len(self._jobs)} jobs, worker {self._worker.id}")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            tasks = [stopping, *loops, *background]
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ending.set()
            self._wakeup.wake_all()
            _, late = await asyncio.wait(loops, timeout=STOP_WITHIN_S)
            if late:
                log.warning("runner.stop_late", jobs=sorted(task.get_name() for task in late))
        finally:
            ending.set()  # else a loop takes what its job raises when cancelled for an outage, and goes on
            await cancel([stopping, *loops, *background])
        if stopping not in ended:
            raise _ended_by_itself(ended)

    async def run_once(self, job: Job, *, requested: bool = False) -> int:
        """Run one job now, whatever its schedule says. Returns what it did. Errors: what the job raised.

        `requested`: a person named this job, and wants to hear how it is.
        """
        await self.make_known()
        async with self._pool.acquire() as conn:
            await store.mark_job_started(conn, name=job.name)
        background = asyncio.create_task(self._worker.beating(), name="heartbeat")
        try:
            return await self._recorded(job, JobContext(once=True, requested=requested))
        finally:
            await cancel([background])

    async def make_known(self) -> None:
        async with self._pool.acquire() as conn:
            for job in self._jobs:
                await store.insert_job(conn, name=job.name, every_s=job.every_s)
            await store.insert_job(conn, name=RUNNER, every_s=0)

    async def _make_known_in_the_end(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.make_known()
                break
            except DATABASE_AWAY as error:
                log.warning("runner.waits_for_database", error=repr(error))
                await _pause(stop, AWAY_PAUSE_S)

    async def _loop(self, job: Job, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            try:
                await (self._continuous(job, stop) if job.continuous else self._periodic(job, stop))
                failures = 0
            except DATABASE_AWAY as error:
                # Not the job's fault, and over in one moment: whoever waits longer then is late.
                log.warning("job.database_away", job=job.name, error=repr(error))
                await _pause(stop, AWAY_PAUSE_S)
            except Exception as error:
                failures += 1
                log.exception("job.failed", job=job.name, error=repr(error))
                await _pause(stop, min(FAILED_PAUSE_MAX_S, FAILED_PAUSE_S * 2.0 ** min(failures - 1, 10)))

    async def _continuous(self, job: Job, stop: asyncio.Event) -> None:
        await self._recorded(job, JobContext(stop=stop, progress=self._progress_of(job)))

    async def _periodic(self, job: Job, stop: asyncio.Event) -> None:
        next_in_s = job.every_s * random.uniform(0.9, 1.1)  # noqa: S311  jitter, not a secret
        async with self._pool.acquire() as conn:
            requested = await store.claim_job(
                conn, name=job.name, worker=self._worker.id, next_in_s=next_in_s, ttl_s=WORKER_TTL_S
            )
        if requested is not None:
            await self._recorded(job, JobContext(stop=stop, requested=requested))
            return
        await _pause(stop, min(LOOK_S, job.every_s))

    async def _recorded(self, job: Job, context: JobContext) -> int:
        """Run it and write down how it went. Errors: what the job raised, after it was written down."""
        worker, started_at = self._worker.id, self._clock.now()
        self._worker.running_jobs.add(job.name)
        try:
            async with asyncio.timeout(None if job.continuous else job.timeout_s):
                with structlog.contextvars.bound_contextvars(job=job.name):
                    work_count = await job.run(context)
        except Exception as error:
            async with self._pool.acquire() as conn:
                await store.mark_job_failed(
                    conn, name=job.name, worker=worker, started_at=started_at, error=_line(error)
                )
            raise
        finally:
            self._worker.running_jobs.discard(job.name)
        async with self._pool.acquire() as conn:
            await store.mark_job_succeeded(
                conn, name=job.name, worker=worker, started_at=started_at, work_count=work_count
            )
        return work_count

    def _progress_of(self, job: Job) -> Callable[[int], Awaitable[None]]:
        """For a job that never ends: says now and then that it is well."""
        said_at = float("-inf")

        async def progress(_work_count: int) -> None:
            nonlocal said_at
            if self._clock.monotonic() - said_at < PROGRESS_S:
                return
            said_at = self._clock.monotonic()
            async with self._pool.acquire() as conn:
                await store.mark_job_progress(conn, name=job.name)

        return progress


def _ended_by_itself(tasks: Collection[asyncio.Task[Any]]) -> RuntimeError:
    names = ", ".join(sorted(each.get_name() for each in tasks))
    failed = RuntimeError(f"ended by itself: {names}; the runner is to be started again")
    for each in tasks:
        try:
            each.result()
        except (Exception, asyncio.CancelledError) as cause:  # noqa: BLE001  it is told as the cause
            failed.__cause__ = cause
    return failed


def _line(error: BaseException) -> str:
    return remove_secrets(f"{type(error).__name__}: {error}")


async def _pause(stop: asyncio.Event, pause_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(pause_s):
            await stop.wait()
