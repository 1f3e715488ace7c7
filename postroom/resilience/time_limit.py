"""A limit on how long tasks may wait, with one timer for all of them instead of one each."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

TICK_MAX_S: Final = 1.0


class TimeLimit:
    """`with limit:` around what a task awaits. Any number of tasks of one loop may be inside, each once.

    Promise: `TimeoutError` after `limit_s`, or up to an eighth of it (a second at most) later.
    What drains thousands a second would spend a third of its time on timers of their own.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._tick_s = min(TICK_MAX_S, limit_s / 8)
        # Since when a task is inside, and how many had asked to cancel it by then.
        self._since: dict[asyncio.Task[object], tuple[float, int]] = {}
        self._overdue: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        # Kept, for up to Python 3.11 to ask for the running loop is a system call.
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> None:
        loop = self._loop = self._loop or asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("only a task can be cut off")
        self._since[task] = loop.time(), task.cancelling()
        if self._timer is None:
            self._timer = loop.call_later(self._tick_s, self._tick)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        task = asyncio.current_task(self._loop)
        since = self._since.pop(task, None) if task is not None else None
        if task is None or since is None or task not in self._overdue:
            return
        self._overdue.discard(task)
        if task.uncancel() <= since[1] and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self.limit_s
        for task, (since, _) in self._since.items():
            if since <= oldest and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
        # Nobody inside, no timer: the next one to enter starts it.
        self._timer = loop.call_later(self._tick_s, self._tick) if self._since else None
