"""Runs tasks: which function, with which arguments, where, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from postroom.base.clock import Clock
from postroom.base.db import DATABASE_FAILURES, Pool
from postroom.base.errors import InvalidInput, Unavailable
from postroom.base.log import get_logger
from postroom.base.task_settings import TaskSettings
from postroom.channels.tasks.child import Call
from postroom.channels.tasks.counts import Counts
from postroom.channels.tasks.outcomes import spent, within_attempts
from postroom.channels.tasks.processes import START_S, Processes
from postroom.channels.tasks.registry import Tasks, UnknownTask, check, read_call
from postroom.channels.tasks.run import AsyncRuns, Running
from postroom.channels.tasks.runs import GRACE_S, Run, Runs, follows_batch
from postroom.channels.tasks.schedules import schedules_in
from postroom.client.task import Task, TaskRun
from postroom.outbox.limits import declare_limits
from postroom.outbox.model import (
    Answer,
    Channel,
    Claim,
    Deferred,
    Delivered,
    Settled,
    Wait,
    database_away,
    rejected_payload,
)

log = get_logger(__name__)

PLACE_WITHIN_S: Final = 5.0
SPARE_S: Final = 10.0
CLAIMED_AHEAD: Final = 4
"""So many are held for each that may run, so that a claim is worth its query."""
QUICK_S: Final = 0.25
QUICK_PLACES: Final = 4_000
"""So many are held while tasks end so fast that all of the others' would be over in `QUICK_S`."""
STUCK_MAX: Final = 20
TURN_S: Final = 0.005
"""So long at most tasks run that wait for nothing; then everything else in the loop has its turn."""
_BUSY: Final = Deferred(Wait.DESTINATION_FULL, "as many tasks run as may")


class TaskAdapter:
    """Calls the function that a task names: async ones in this process, others in processes of their own.

    Promise: a task that fails, blocks, dies or is overdue costs itself an attempt and its neighbours nothing,
    unless an async one blocks the loop. Does not promise: one run, except to what ends within its
    `transaction`. A task that is unknown here waits for a runner that knows it.
    """

    channel = Channel.TASK
    circuit: str | None = ""

    def __init__(
        self, *, pool: Pool, clock: Clock, settings: TaskSettings, tasks: Tasks, places: Sequence[str]
    ) -> None:
        """`places`: where the tasks were found; each process reads them again.

        Errors: `SettingsInvalid` for schedules that cannot be.
        """
        self._pool = pool
        self._clock = clock
        self._tasks = tasks
        self.schedules = schedules_in(tasks)
        self._processes = Processes(places, count=settings.processes, memory_mb=settings.memory_mb)
        # One runs in each, and one is ready to follow.
        self._places = asyncio.Semaphore(self._processes.count * 2)
        self._runs = Runs(pool)
        self._here = AsyncRuns(self._runs)
        self._counts = Counts(pool, tasks)
        self._turned_s = 0.0
        self._ended = 0
        self._is_quick = False
        self._room = asyncio.Semaphore(settings.concurrency)
        # The rest of the pool is the engine's, which settles what has ended.
        self._transactions = asyncio.Semaphore(max(1, pool.get_max_size() // 2))
        self._few_places = CLAIMED_AHEAD * settings.concurrency
        self.per_destination_max = settings.concurrency
        longest_s = max((each.timeout_s for each in tasks.values()), default=0.0)
        # One may wait for a process until another one has started and ended there.
        self.timeout_s = PLACE_WITHIN_S + (START_S + longest_s) * 2 + GRACE_S + SPARE_S

    async def start(self) -> None:
        """Nothing is opened ahead."""

    async def declare_limits(self) -> None:
        """Let all runners keep to what the code says of each task. Errors: the database's own."""
        if self._tasks:
            limits = {each.name: each.limit_per_s for each in self._tasks.values()}
            async with self._pool.acquire() as conn:
                await declare_limits(conn, Channel.TASK, limits)

    async def close(self) -> None:
        await self._here.close()
        await self._runs.close()
        await self._counts.close()
        await self._processes.close()

    def check(self, payload: dict[str, Any]) -> None:
        """Errors: `InvalidPayload` naming the field."""
        check(payload, self._tasks)

    def check_route(self, payload: dict[str, Any]) -> None:
        """The same for a route, which has the arguments from its event. Errors: `InvalidPayload`."""
        check(payload, self._tasks, arguments=False)

    async def deliver(self, claim: Claim) -> Answer:
        """Try once. Errors: the database's own, before the task is called."""
        try:
            task, arguments = read_call(claim.destination, claim.payload, self._tasks)
        except UnknownTask as error:
            return Deferred(Wait.NOT_CONFIGURED, str(error))
        except InvalidInput as error:
            return rejected_payload(error)
        if dead := spent(task, claim):
            return dead
        places = self._room if task.is_async else self._places
        if places.locked():
            try:
                async with asyncio.timeout(PLACE_WITHIN_S):
                    await places.acquire()
            except TimeoutError:
                return _BUSY
        else:
            await places.acquire()
        try:
            run = self._runs.of(claim)
            started_s = self._clock.monotonic()
            answer = await self._answer(task, arguments, claim, run, started_s)
            ended_s = self._clock.monotonic()
        except Unavailable as error:
            return Deferred(Wait.NOT_CONFIGURED, error.detail)
        finally:
            places.release()
        cancelled = run.cancelled_by is not None
        self._counts.add(
            task.name, answer, cancelled=cancelled, took_s=ended_s - started_s, worker=claim.worker
        )
        self._ended += 1
        if ended_s - self._turned_s > TURN_S:
            self._is_quick = self._ended / (ended_s - self._turned_s) * QUICK_S >= self._few_places
            self._turned_s, self._ended = ended_s, 0  # before others end meanwhile, who are of the next turn
            await asyncio.sleep(0)
        return answer

    @property
    def concurrency_max(self) -> int:
        """A few for each that may run; many while they end at once and none waits for anything."""
        quick = self._is_quick and not self._runs.under_way
        if quick and self._clock.monotonic() - self._turned_s <= QUICK_S:
            return max(self._few_places, QUICK_PLACES)
        return self._few_places

    async def _answer(
        self, task: Task[..., Any], arguments: dict[str, Any], claim: Claim, run: Run, started_s: float
    ) -> Answer:
        """What is cancelled ends so, whatever it makes of it; unless its transaction has ended it before."""
        answer: Answer = Settled()
        if run.cancelled_by is None and task.is_async:
            answer = await self._run_here(task, arguments, claim, run, started_s)
        elif run.cancelled_by is None:
            answer = await self._run_apart(task, claim, run)
        if run.cancelled_by is None:
            return answer
        try:
            took_ms = round((self._clock.monotonic() - started_s) * 1_000)
            await self._runs.settle_cancelled(claim, run.cancelled_by, took_ms=took_ms)
        except DATABASE_FAILURES as error:
            return database_away(error)  # it is cancelled when it is claimed again
        return Settled()

    async def _facts(self, task: Task[..., Any], claim: Claim) -> dict[str, Any]:
        """What a `TaskRun` says of a run."""
        return {
            "task": task.name,
            "message_id": claim.message_id,
            "attempt": claim.attempts + 1,
            "attempts_max": task.attempts,
            "tenant": claim.tenant,
            "key": claim.key,
            "correlation_id": claim.correlation_id,
            "batch": await self._runs.batch_before(claim) if follows_batch(claim) else None,
        }

    async def _run_here(
        self, task: Task[..., Any], arguments: dict[str, Any], claim: Claim, run: Run, started_s: float
    ) -> Answer:
        if len(self._here.stuck) >= STUCK_MAX:
            return Deferred(
                Wait.DESTINATION_FULL, f"{STUCK_MAX} tasks ignore that they are cancelled: restart the runner"
            )
        running = Running(
            **await self._facts(task, claim),
            claim=claim,
            pool=self._pool,
            transactions=self._transactions,
            clock=self._clock,
            started_s=started_s,
            run=run,
        )
        ended = await self._here.run(task, arguments, running)
        if not run.settled:
            return within_attempts(ended, task, claim)
        if not isinstance(ended, Delivered):  # nothing is undone or tried again by it: say so at least
            log.warning("task.failed_past_its_end", task=task.name, reason=ended.reason)
        return Settled()

    async def _run_apart(self, task: Task[..., Any], claim: Claim, run: Run) -> Answer:
        facts = TaskRun(**await self._facts(task, claim))
        self._runs.begin(run)
        try:
            ended = await self._processes.run(task, Call(facts, claim.payload), run)
        finally:
            self._runs.end(run)
        return within_attempts(ended, task, claim)
