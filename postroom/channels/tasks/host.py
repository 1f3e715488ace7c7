"""Calls of async functions that begin at once, and need an asyncio task of their own only where they wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context
from functools import partial
from types import coroutine
from typing import Any, Final

from postroom.channels.tasks.outcomes import DONE, Ended, failed, of_error

CANCELLED_ITSELF: Final = failed("it cancelled itself", code="cancelled")

Call = Coroutine[Any, Any, object]


class Host:
    """The asyncio task that a call runs as, from its first line on.

    Most calls end before they wait for anything, and the next one begins in the same host: a task and two
    turns of the loop for each would cost more than all else. One that waits goes on in it, and keeps it.
    Whoever asks for the current task is told the host's throughout, so that limits of time, groups of tasks
    and cancelling within a call are about that call alone.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._taken: asyncio.Future[None] = loop.create_future()
        self._call: tuple[Call, Context, Any] | None = None
        self.task = loop.create_task(self._go_on())

    @classmethod
    async def open(cls, loop: asyncio.AbstractEventLoop) -> Host:
        """One that has started: before that, a call that cancels itself would take it along."""
        host = cls(loop)
        await asyncio.sleep(0)
        return host

    @property
    def is_free(self) -> bool:
        """Whether another call may begin: none goes on in it, and none has cancelled it."""
        return not (self._taken.done() or self.task.done())

    def begin(self, call: Call, context: Context) -> Ended | None:
        """Run it to where it waits for something. Returns: how it ended; None where it goes on in `task`."""
        caller = asyncio.current_task(self._loop)
        if caller is None:
            raise RuntimeError("a call begins within a task")
        # As asyncio's documentation has it for those who run coroutines themselves ("Extending").
        asyncio._leave_task(self._loop, caller)
        asyncio._enter_task(self._loop, self.task)
        try:
            awaited = context.run(call.send, None)
        except StopIteration:
            return CANCELLED_ITSELF if self._taken.cancelled() else DONE
        except asyncio.CancelledError:
            return CANCELLED_ITSELF
        except (Exception, SystemExit) as error:  # noqa: BLE001  it is told as the outcome
            return of_error(error)
        finally:
            asyncio._leave_task(self._loop, self.task)
            asyncio._enter_task(self._loop, caller)
        self._call = call, context, awaited
        if not self._taken.done():  # else the call has cancelled itself
            self._taken.set_result(None)
        return None

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    async def _go_on(self) -> Ended:
        cancelled: asyncio.CancelledError | None = None
        try:
            await self._taken
        except asyncio.CancelledError as error:
            if self._call is None:
                raise
            cancelled = error
        if self._call is None:
            raise RuntimeError("taken by no call")
        try:
            await _rest(*self._call, cancelled)
        except (Exception, SystemExit) as error:  # noqa: BLE001  it is told as the outcome
            return of_error(error)
        return DONE


@coroutine
def _rest(
    call: Call, context: Context, awaited: Any, cancelled: asyncio.CancelledError | None
) -> Generator[Any, None, None]:
    """What is left of a call, in its own context. `cancelled`: since it began to wait."""
    step = None
    if cancelled is not None and not (awaited is not None and awaited.cancel()):
        step = partial(call.throw, cancelled)
    while True:
        if step is None:
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001  it is the call's own
                step = partial(call.throw, error)
            else:
                step = partial(call.send, None)
        try:
            awaited = context.run(step)
        except StopIteration:
            return
        step = None
