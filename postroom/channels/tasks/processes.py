"""The processes in which tasks run that are not async."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
from collections.abc import Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as TookTooLong
from typing import Any, Final

from pebble import ProcessExpired, ProcessPool

from postroom.base.operator_code import load_code
from postroom.channels.tasks.outcomes import Ended, failed, from_short, in_short, of_error, overdue
from postroom.channels.tasks.registry import tasks_in
from postroom.client.task import CURRENT, Task, TaskRun
from postroom.outbox.model import Delivered
from postroom.postgres.watch import die_with_parent

RUNS_MAX: Final = 1_000
"""Of one process: then another takes its place, whatever its tasks have left behind."""
STOP_WITHIN_S: Final = 5.0


class Processes:
    """Runs each call in one of a few processes; one that is overdue, dies or leaks takes nobody with it.

    Opened with the first call. Each process imports the operator's code for itself.
    """

    def __init__(self, places: Sequence[str], *, count: int | None, memory_mb: int) -> None:
        self.count = count or os.cpu_count() or 1
        self._places = tuple(places)
        self._memory_bytes_max = memory_mb * 1_048_576
        self._pool: ProcessPool | None = None

    async def run(self, task: Task[..., Any], arguments: dict[str, Any], run: TaskRun) -> Ended:
        """Call it, for as long as it may take once a process is free. Cancelled, its process is killed."""
        if self._pool is None:
            self._pool = self._open()
        future = self._pool.schedule(_run, args=(run, arguments), timeout=task.timeout_s)
        try:
            return from_short(await asyncio.wrap_future(future))
        except TookTooLong:
            return overdue(task)
        except ProcessExpired as died:
            return failed(f"its process ended with {died.exitcode}", code="died")
        except (CancelledError, asyncio.CancelledError):
            future.cancel()  # type: ignore[no-untyped-call]
            raise
        except Exception as error:  # noqa: BLE001  raised there: what cannot be sent to a process, for one
            return of_error(error)

    async def close(self) -> None:
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        pool.stop()  # type: ignore[no-untyped-call]
        await asyncio.to_thread(pool.join, STOP_WITHIN_S)

    def _open(self) -> ProcessPool:
        return ProcessPool(
            max_workers=self.count,
            max_tasks=RUNS_MAX,
            initializer=_begin,
            initargs=(self._places, self._memory_bytes_max, os.getpid()),
            context=multiprocessing.get_context("spawn"),  # threads and loops are not for copying
        )


_TASKS: dict[str, Task[..., Any]] = {}


def _begin(places: Sequence[str], memory_bytes_max: int, parent_pid: int) -> None:
    """In each new process."""
    die_with_parent(parent_pid, signal.SIGKILL)()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes_max, memory_bytes_max))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _TASKS.update(tasks_in(load_code(places)))


def _run(run: TaskRun, arguments: dict[str, Any]) -> dict[str, Any]:
    CURRENT.set(run)
    task = _TASKS[run.task]
    try:
        task.function(**task.read(arguments))
    except (Exception, SystemExit) as error:  # noqa: BLE001  it is told as the outcome
        return in_short(of_error(error))
    return in_short(Delivered())
