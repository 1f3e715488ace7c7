"""One run of an async task, in the runner's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from postroom.base.clock import Clock
from postroom.base.db import Connection, Pool, transaction
from postroom.base.log import get_logger
from postroom.channels.tasks.outcomes import Ended, failed, of_error, overdue
from postroom.channels.tasks.runs import GRACE_S, Run
from postroom.client.task import CURRENT, Task, TaskRun
from postroom.outbox.model import Claim, Delivered
from postroom.outbox.policy import delivered
from postroom.outbox.store import settle_claims

log = get_logger(__name__)


class RunLost(RuntimeError):
    """Another run of it goes on: nothing of this one is committed."""


@dataclass(kw_only=True)
class Ending:
    """How a run may end itself. `settled`: its transaction has ended it, or it was lost."""

    claim: Claim
    pool: Pool
    clock: Clock
    started_s: float
    settled: bool = False


@dataclass(frozen=True, kw_only=True)
class Running(TaskRun):
    """What `current_task` gives to an async task."""

    ending: Ending
    run: Run

    def _report(self, done: float) -> None:
        self.run.report(done)

    @property
    def cancelled(self) -> bool:
        return self.run.cancelled_by is not None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """The claim is settled last, under its fence."""
        end = self.ending
        if end.settled:
            raise RuntimeError("a task has one transaction: it ends the task")
        async with transaction(end.pool) as conn:
            yield conn
            took_ms = round((end.clock.monotonic() - end.started_s) * 1_000)
            if await settle_claims(conn, [(end.claim, delivered(), took_ms)]):
                end.settled = True  # by whoever has it now
                raise RunLost("this run was given up meanwhile, and another goes on")
        end.settled = True


class Stuck:
    """Tasks that were cancelled and go on all the same. They cannot be stopped, only counted."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Ended]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, running: asyncio.Task[Ended]) -> None:
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)


async def run_async(task: Task[..., Any], arguments: dict[str, Any], running: Running, stuck: Stuck) -> Ended:
    """Call it, for as long as it may take and until somebody cancels it. A task of its own: what it leaves in
    its context is its own."""
    call = asyncio.create_task(_call(task, arguments, running), name=f"task {task.name}")
    try:
        if await _ends_within(call, task.timeout_s, running.run):
            return _result(call)
        call.cancel()
        await _ends_within(call, GRACE_S)
    finally:
        if not call.done():
            call.cancel()  # the runner stops, or it swallows its cancellation
            stuck.add(call)
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


async def _call(task: Task[..., Any], arguments: dict[str, Any], running: Running) -> Ended:
    CURRENT.set(running)
    try:
        await task.function(**arguments)
    except (Exception, SystemExit) as error:  # noqa: BLE001  it is told as the outcome
        return of_error(error)
    return Delivered()


def _result(call: asyncio.Task[Ended]) -> Ended:
    return failed("it cancelled itself", code="cancelled") if call.cancelled() else call.result()
