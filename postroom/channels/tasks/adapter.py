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
from postroom.channels.tasks.outcomes import within_attempts
from postroom.channels.tasks.processes import START_S, Processes
from postroom.channels.tasks.registry import Tasks, check, name_in
from postroom.channels.tasks.run import Ending, Running, Stuck, run_async
from postroom.channels.tasks.runs import GRACE_S, Run, Runs
from postroom.channels.tasks.schedules import schedules_in
from postroom.client.task import Task, TaskRun
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
STUCK_MAX: Final = 20
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
        self._stuck = Stuck()
        self._runs = Runs(pool)
        self._counts = Counts(pool, tasks)
        self._room = asyncio.Semaphore(settings.concurrency)
        self.concurrency_max = CLAIMED_AHEAD * settings.concurrency
        self.per_destination_max = settings.concurrency
        longest_s = max((each.timeout_s for each in tasks.values()), default=0.0)
        # One may wait for a process until another one has started and ended there.
        self.timeout_s = PLACE_WITHIN_S + (START_S + longest_s) * 2 + GRACE_S + SPARE_S

    async def start(self) -> None:
        """Nothing is opened ahead."""

    async def close(self) -> None:
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
            name, given = name_in(claim.body())
            if name not in self._tasks:
                return Deferred(
                    Wait.NOT_CONFIGURED,
                    f"task {name[:200]!r} is in no file that POSTROOM_HANDLERS names here",
                )
            task = self._tasks[name]
            arguments = task.read(given)
        except InvalidInput as error:
            return rejected_payload(error)
        places = self._room if task.is_async else self._places
        if places.locked():
            try:
                async with asyncio.timeout(PLACE_WITHIN_S):
                    await places.acquire()
            except TimeoutError:
                return _BUSY
        else:
            await places.acquire()
        run = self._runs.begin(claim)
        started_s = self._clock.monotonic()
        try:
            answer = await self._answer(task, arguments if task.is_async else given, claim, run)
        except Unavailable as error:
            return Deferred(Wait.NOT_CONFIGURED, error.detail)
        else:
            took_s = self._clock.monotonic() - started_s
            cancelled = run.cancelled_by is not None
            self._counts.add(name, answer, cancelled=cancelled, took_s=took_s, worker=claim.worker)
            return answer
        finally:
            self._runs.end(run)
            places.release()

    async def _answer(
        self, task: Task[..., Any], arguments: dict[str, Any], claim: Claim, run: Run
    ) -> Answer:
        """What is cancelled ends so, whatever it makes of it; unless its transaction has ended it before."""
        answer: Answer = Settled()
        facts = {**_facts(task, claim), "batch": await self._runs.batch_before(claim)}
        started_s = self._clock.monotonic()
        if run.cancelled_by is None and task.is_async:
            answer = await self._run_here(task, arguments, claim, run, facts)
        elif run.cancelled_by is None:
            call = Call(TaskRun(**facts), arguments)
            answer = within_attempts(await self._processes.run(task, call, run), task, claim)
        if run.cancelled_by is None:
            return answer
        try:
            took_ms = round((self._clock.monotonic() - started_s) * 1_000)
            await self._runs.settle_cancelled(claim, run.cancelled_by, took_ms=took_ms)
        except DATABASE_FAILURES as error:
            return database_away(error)  # it is cancelled when it is claimed again
        return Settled()

    async def _run_here(
        self, task: Task[..., Any], arguments: dict[str, Any], claim: Claim, run: Run, facts: dict[str, Any]
    ) -> Answer:
        if len(self._stuck) >= STUCK_MAX:
            return Deferred(
                Wait.DESTINATION_FULL, f"{STUCK_MAX} tasks ignore that they are cancelled: restart the runner"
            )
        end = Ending(claim=claim, pool=self._pool, clock=self._clock, started_s=self._clock.monotonic())
        running = Running(**facts, ending=end, run=run)
        ended = await run_async(task, arguments, running, self._stuck)
        if not end.settled:
            return within_attempts(ended, task, claim)
        if not isinstance(ended, Delivered):  # nothing is undone or tried again by it: say so at least
            log.warning("task.failed_past_its_end", task=task.name, reason=ended.reason)
        return Settled()


def _facts(task: Task[..., Any], claim: Claim) -> dict[str, Any]:
    return {
        "task": task.name,
        "message_id": claim.message_id,
        "attempt": claim.attempts + 1,
        "attempts_max": task.attempts,
        "tenant": claim.tenant,
        "key": claim.key,
        "correlation_id": claim.correlation_id,
    }
