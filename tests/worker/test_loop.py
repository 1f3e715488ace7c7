"""The runner: jobs at their time, none in the way of another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from postroom.admin.audit import Actor
from postroom.admin.jobs import request_run
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, connect, open_pool
from postroom.base.errors import NotFound
from postroom.worker import heartbeat, store
from postroom.worker.heartbeat import Worker
from postroom.worker.loop import Runner
from postroom.worker.model import Job, JobContext, JobStatus
from postroom.worker.wakeup import Wakeup
from tests.fixtures.clock import DrivenClock
from tests.fixtures.links import linked
from tests.fixtures.roles import as_role, pool_as


async def make_runner(dsn: str, pool: Pool, *jobs: Job) -> Runner:
    worker = Worker(pool=pool_as(pool, "runner"), role="test")
    await worker.register()
    wakeup = Wakeup(dsn=dsn, pool=pool_as(pool, "runner"), worker=worker)
    return Runner(pool=pool_as(pool, "runner"), clock=SystemClock(), worker=worker, wakeup=wakeup, jobs=jobs)


@asynccontextmanager
async def running(*runners: Runner) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(runner.run(stop)) for runner in runners]
    try:
        async with asyncio.timeout(20):
            yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def state_of(pool: Pool, name: str) -> JobStatus:
    async with pool.acquire() as conn:
        return next(state for state in await store.list_jobs(conn) if state.name == name)


class Counting:
    """A job that counts its runs."""

    def __init__(self) -> None:
        self.runs = 0
        self.requested: list[bool] = []
        self.ran = asyncio.Event()

    async def __call__(self, context: JobContext) -> int:
        self.runs += 1
        self.requested.append(context.requested)
        self.ran.set()
        return 7


async def test_a_failing_job_is_recorded_and_stops_no_other(dsn: str, pool: Pool) -> None:
    good = Counting()

    async def bad(_context: JobContext) -> int:
        raise ZeroDivisionError("whsec_abcdefghijkl was wrong")

    runner = await make_runner(dsn, pool, Job("bad", bad, every_s=60), Job("good", good, every_s=60))
    async with running(runner):
        await good.ran.wait()
        while (await state_of(pool, "bad")).consecutive_failures == 0:
            await asyncio.sleep(0.01)
    failed = await state_of(pool, "bad")
    assert failed.last_error == "ZeroDivisionError: whsec_[removed] was wrong"
    assert (await state_of(pool, "good")).last_success_at is not None
    assert (await state_of(pool, "jobs-runner")).last_heartbeat_at is not None
    assert failed.running_since is None


async def test_a_loop_that_ends_by_itself_ends_the_runner(dsn: str, pool: Pool) -> None:
    """Nobody would hear of it: all others go on, and so does the heartbeat."""

    others: list[str] = []

    async def bad(_context: JobContext) -> int:
        raise asyncio.CancelledError

    async def draining(context: JobContext) -> int:
        await context.stop.wait()
        others.append("drained")
        return 1

    async def in_an_outage(context: JobContext) -> int:
        others.append("began")
        await context.stop.wait()
        raise ConnectionError("the database is away")

    jobs = [Job(run.__name__, run, every_s=600, continuous=True) for run in (draining, in_an_outage, bad)]
    runner = await make_runner(dsn, pool, *jobs)
    async with asyncio.timeout(20):
        with pytest.raises(RuntimeError, match="ended by itself: bad") as ended:
            await runner.run(asyncio.Event())
    assert isinstance(ended.value.__cause__, asyncio.CancelledError)
    assert others == ["began", "drained"]


async def test_several_runners_do_not_run_a_periodic_job_twice(dsn: str, pool: Pool) -> None:
    job = Counting()
    runners = [await make_runner(dsn, pool, Job("once", job, every_s=600)) for _ in range(3)]
    async with running(*runners):
        await job.ran.wait()
        for runner in runners:
            await runner.make_known()
    assert job.runs == 1


async def test_a_requested_run_comes_before_its_time(dsn: str, pool: Pool) -> None:
    job = Counting()
    runner = await make_runner(dsn, pool, Job("canary", job, every_s=600))
    async with running(runner):
        await job.ran.wait()
        job.ran.clear()
        async with pool.acquire() as conn:
            await request_run(conn, "canary", actor=Actor("test"))
            with pytest.raises(NotFound, match="canary"):
                await request_run(conn, "unheard of", actor=Actor("test"))
        await job.ran.wait()
    assert job.runs == 2
    assert job.requested == [False, True]


async def test_a_job_of_a_dead_runner_is_taken_over(dsn: str, pool: Pool) -> None:
    job = Counting()
    runner = await make_runner(dsn, pool, Job("held", job, every_s=1))
    await runner.make_known()
    async with pool.acquire() as conn:
        claimed = await store.claim_job(conn, name="held", worker=999_999, next_in_s=0, ttl_s=10)
        assert claimed is not None
    async with running(runner):
        await job.ran.wait()


async def test_a_job_that_hangs_is_cut_off(dsn: str, pool: Pool) -> None:
    async def hang(_context: JobContext) -> int:
        await asyncio.Event().wait()
        return 0

    runner = await make_runner(dsn, pool, Job("hang", hang, every_s=60, timeout_s=0.05))
    await runner.make_known()
    async with running(runner):
        while (await state_of(pool, "hang")).consecutive_failures == 0:
            await asyncio.sleep(0.01)


async def test_run_once_raises_what_the_job_raised(dsn: str, pool: Pool) -> None:
    async def bad(_context: JobContext) -> int:
        raise LookupError("no such thing")

    runner = await make_runner(dsn, pool)
    with pytest.raises(LookupError):
        await runner.run_once(Job("bad", bad, every_s=60))


async def test_a_worker_that_was_declared_dead_comes_back_under_a_new_id(pool: Pool) -> None:
    worker = Worker(pool=pool_as(pool, "runner"), role="test")
    await worker.register()
    before = worker.id
    async with pool.acquire() as conn:
        await store.remove_worker(conn, worker=before, ttl_s=-1)
    await worker.beat()
    assert worker.id > before


async def test_a_handler_that_blocks_the_event_loop_does_not_stall_the_heartbeat(
    dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.05)
    worker = Worker(
        pool=pool_as(pool, "runner"),
        role="test",
        opens=lambda: open_pool(as_role(dsn, "runner"), connections_max=1),
    )
    await worker.register()
    beating = asyncio.create_task(worker.beating())
    registered_at = await pool.fetchval("select beat_at from postroom.worker")
    async with asyncio.timeout(20):
        while await pool.fetchval("select beat_at from postroom.worker") == registered_at:
            await asyncio.sleep(0.01)
    blocked_at = await pool.fetchval("select clock_timestamp()")
    time.sleep(1.0)  # noqa: ASYNC251  a handler that blocks is what this is about
    beat_at = await pool.fetchval("select beat_at from postroom.worker")
    assert (beat_at - blocked_at).total_seconds() > 0.5
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    await worker.leave()
    assert not await pool.fetchval("select count(*) from postroom.worker"), "no beat comes after the end"


async def test_a_process_that_hangs_beats_no_more(
    dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.05)
    monkeypatch.setattr(heartbeat, "BLOCKED_MAX_S", -1.0)
    monkeypatch.setattr(heartbeat, "BLOCKED_LOOKS", 1_000_000)
    worker = Worker(
        pool=pool_as(pool, "runner"),
        role="test",
        opens=lambda: open_pool(as_role(dsn, "runner"), connections_max=1),
    )
    await worker.register()
    registered_at = await pool.fetchval("select beat_at from postroom.worker")
    with capture_logs() as lines:
        beating = asyncio.create_task(worker.beating())
        async with asyncio.timeout(20):
            while sum(line["event"] == "worker.blocked" for line in lines) < 3:
                await asyncio.sleep(0.01)
    assert await pool.fetchval("select beat_at from postroom.worker") == registered_at
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)


async def test_who_is_back_after_a_silence_judges_nobody_for_a_moment(pool: Pool) -> None:
    clock = DrivenClock()
    worker = Worker(pool=pool_as(pool, "runner"), role="test", clock=clock)
    await worker.register()
    assert not worker.may_judge, "the others of a database that was away have not beaten yet, either"
    clock.advance(heartbeat.GRACE_S)
    assert worker.may_judge
    await worker.beat()
    assert worker.may_judge, "it was never silent for long"
    clock.advance(heartbeat.WORKER_TTL_S)
    await worker.beat()
    assert not worker.may_judge
    clock.advance(heartbeat.GRACE_S)
    assert worker.may_judge


async def test_a_lost_listener_asks_nobody_to_notify(dsn: str, pool: Pool) -> None:
    async with linked(dsn) as (link, through):
        worker = Worker(pool=pool_as(pool, "runner"), role="test")
        await worker.register()
        wakeup = Wakeup(dsn=through, pool=pool_as(pool, "runner"), worker=worker)
        listening = asyncio.create_task(wakeup.listening())
        async with asyncio.timeout(20):
            while not await wakeup.sleeping_on("email"):
                await asyncio.sleep(0.01)
            assert await pool.fetchval("select count(*) from postroom.sleeper") == 1
            await link.shut()
            while await pool.fetchval("select count(*) from postroom.sleeper"):
                await asyncio.sleep(0.01)
        assert not await wakeup.sleeping_on("email")
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


CANCEL_WAITERS = """
select count(pg_cancel_backend(pid)) from pg_stat_activity
where wait_event_type = 'Lock' and datname = current_database()
"""


async def test_a_refused_beat_is_not_the_last_one(dsn: str, pool: Pool) -> None:
    """A deadlock, a cancelled statement, a full disk: a worker that falls silent is taken for dead."""
    runner = await make_runner(dsn, pool, Job("any", Counting(), every_s=600))
    await runner.make_known()
    worker = Worker(pool=pool_as(pool, "runner"), role="test")
    await worker.register()
    worker.running_jobs.add("any")
    other = await connect(dsn)
    beating = None
    try:
        async with asyncio.timeout(20):
            async with other.transaction():
                await other.execute("select from postroom.job for update")
                beating = asyncio.create_task(worker.beating())
                while not await other.fetchval(CANCEL_WAITERS):
                    await asyncio.sleep(0.01)
            await other.execute("update postroom.worker set beat_at = 'epoch' where id = $1", worker.id)
            while not await other.fetchval(
                "select beat_at > 'epoch' from postroom.worker where id = $1", worker.id
            ):
                assert not beating.done(), beating
                await asyncio.sleep(0.01)
    finally:
        if beating is not None:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        await other.close()
