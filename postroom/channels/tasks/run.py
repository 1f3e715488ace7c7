"""One run of an async task, in the runner's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any

from postroom.base.clock import Clock
from postroom.base.db import Connection, Pool, transaction
from postroom.base.log import get_logger
from postroom.channels.tasks.host import CANCELLED_ITSELF, Host
from postroom.channels.tasks.outcomes import Ended, of_error, overdue
from postroom.channels.tasks.runs import GRACE_S, Run, Runs
from postroom.client.task import CURRENT, Task, TaskRun
from postroom.outbox.model import Claim
from postroom.outbox.policy import delivered
from postroom.outbox.store import settle_claims

log = get_logger(__name__)


class RunLost(RuntimeError):
    """Another run of it goes on: nothing of this one is committed."""


class Running(TaskRun, frozen=True, kw_only=True):
    """What `current_task` gives to an async task."""

    claim: Claim
    pool: Pool
    transactions: asyncio.Semaphore
    clock: Clock
    started_s: float
    run: Run

    def _report(self, done: float) -> None:
        self.run.report(done)

    @property
    def cancelled(self) -> bool:
        return self.run.cancelled_by is not None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """The claim is settled last, under its fence."""
        if self.run.settled:
            raise RuntimeError("a task has one transaction: it ends the task")
        async with self.transactions, transaction(self.pool) as conn:
            yield conn
            took_ms = round((self.clock.monotonic() - self.started_s) * 1_000)
            if await settle_claims(conn, [(self.claim, delivered(), took_ms)]):
                self.run.settled = True  # by whoever has it now
                raise RunLost("this run was given up meanwhile, and another goes on")
        self.run.settled = True


class Stuck:
    """Tasks that were cancelled and go on all the same. They cannot be stopped, only counted."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Ended]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, running: asyncio.Task[Ended]) -> None:
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)


class AsyncRuns:
    """Runs async tasks, each for as long as it may take and until somebody cancels it.

    What one leaves in its context is its own. `stuck`: those that go on although they were cancelled.
    """

    def __init__(self, runs: Runs) -> None:
        self.stuck = Stuck()
        self._runs = runs
        self._idle: list[Host] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, task: Task[..., Any], arguments: dict[str, Any], running: Running) -> Ended:
        """Call it. One that waits for nothing has ended when this first gives way to others."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        host = self._idle.pop() if self._idle else await Host.open(loop)
        host.task.set_name(f"task {task.name}")
        context = copy_context()
        context.run(CURRENT.set, running)
        try:
            call = task.function(**arguments)
        except Exception as error:  # noqa: BLE001  a decorator of the operator's
            self._idle.append(host)
            return of_error(error)
        ended = host.begin(call, context)
        if ended is None:
            return await self._go_on(host.task, task, running)
        if host.is_free:
            self._idle.append(host)
        return ended

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def _go_on(self, call: asyncio.Task[Ended], task: Task[..., Any], running: Running) -> Ended:
        run = running.run
        self._runs.begin(run)
        try:
            left_s = task.timeout_s - (running.clock.monotonic() - running.started_s)
            if await _ends_within(call, left_s, run):
                return CANCELLED_ITSELF if call.cancelled() else call.result()
            call.cancel()
            await _ends_within(call, GRACE_S)
        finally:
            self._runs.end(run)
            if not call.done():
                call.cancel()  # the runner stops, or it swallows its cancellation
                self.stuck.add(call)
                log.error("task.goes_on", task=task.name, message_id=str(running.message_id))
        return overdue(task)


async def _ends_within(call: asyncio.Task[Ended], limit_s: float, run: Run | None = None) -> bool:
    """As `asyncio.wait`, at a third of what that costs a task that does little. Where `run` is cancelled it
    waits no longer."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def end(_: object = None) -> None:
        if not over.done():
            over.set_result(None)

    call.add_done_callback(end)
    if run is not None:
        run.on_cancel = end
    timer = loop.call_later(limit_s, end)
    try:
        await over
    finally:
        timer.cancel()
    return call.done()
