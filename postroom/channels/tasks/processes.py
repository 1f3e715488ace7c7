"""The processes in which tasks run that are not async."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from postroom.base.errors import Unavailable
from postroom.channels.tasks.child import CANCEL, HEAD_BYTES, MODULE, Call, Told
from postroom.channels.tasks.outcomes import Ended, failed, overdue
from postroom.channels.tasks.runs import GRACE_S, Run
from postroom.client.task import Task
from postroom.outbox.model import Cause, Delivered, Rejected, RetryLater, Trip

RUNS_MAX: Final = 1_000
"""Of one process: then another takes its place, whatever its tasks have left behind."""
START_S: Final = 60.0
"""For a process to import the operator's code."""
STOP_S: Final = 5.0


class Child:
    """One process, which runs one call after the other."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.runs = 0
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, places: Sequence[str], memory_mb: int) -> Child:
        """Errors: `Unavailable` with what the process says, or how it ended."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = (sys.executable, "-m", MODULE, str(theirs.fileno()), str(memory_mb), *places)
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # what it starts itself ends with it
                )
            except OSError as error:
                ours.close()
                raise Unavailable(f"a process for tasks did not start: {error.strerror}") from None
        reader, writer = await asyncio.open_connection(sock=ours)
        child = cls(process, reader, writer)
        try:
            async with asyncio.timeout(START_S):
                told = await child._read()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            raise Unavailable(f"a process for tasks did not start: {await child.kill()}") from error
        except asyncio.CancelledError:
            await child.kill()
            raise
        if told.reason:
            await child.kill()
            raise Unavailable(f"a process for tasks did not start: {told.reason}")
        return child

    async def ask(self, call: Call, report: Callable[[float], None]) -> Told:
        """Errors: `IncompleteReadError` and `ConnectionError` once it is gone."""
        self.runs += 1
        frame = msgspec.msgpack.encode(call)
        self._writer.write(len(frame).to_bytes(HEAD_BYTES, "big") + frame)
        while (told := await self._read()).kind == "progress":
            report(told.progress)
        return told

    def tell_cancelled(self) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(CANCEL)

    async def kill(self) -> str:
        """End it, and all that it has started. Returns: how it has ended."""
        self._writer.close()
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        async with asyncio.timeout(STOP_S):
            code = await self._process.wait()
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    async def gone(self) -> str:
        """How it has ended by itself: its end of the socket is closed a moment before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        return await self.kill()

    async def _read(self) -> Told:
        head = await self._reader.readexactly(HEAD_BYTES)
        body = await self._reader.readexactly(int.from_bytes(head, "big"))
        return msgspec.msgpack.decode(body, type=Told)


class Processes:
    """Runs each call in one of a few processes; one that is overdue, dies or leaks takes nobody with it.

    They are started as they are needed. Each imports the operator's code for itself.
    """

    def __init__(self, places: Sequence[str], *, count: int | None, memory_mb: int) -> None:
        self.count = count or os.cpu_count() or 1
        self._places = tuple(places)
        self._memory_mb = memory_mb
        self._free = asyncio.Semaphore(self.count)
        self._idle: list[Child] = []

    async def run(self, task: Task[..., Any], call: Call, run: Run) -> Ended:
        """Call it, for as long as it may take once a process is free. Cancelled, its process is killed; where
        an operator has cancelled `run`, after `GRACE_S`.

        Errors: `Unavailable` where none can be started: nothing was called.
        """
        async with self._free:
            child = self._idle.pop() if self._idle else await Child.start(self._places, self._memory_mb)
            return await self._ask(child, task, call, run)

    async def _ask(self, child: Child, task: Task[..., Any], call: Call, run: Run) -> Ended:
        kept = False
        try:
            async with asyncio.timeout(task.timeout_s) as limit:

                def cancel() -> None:
                    child.tell_cancelled()
                    limit.reschedule(asyncio.get_running_loop().time() + GRACE_S)

                run.on_cancel = cancel
                if run.cancelled_by is not None:  # while it waited for the process: it is not called
                    kept = True
                    return Delivered()
                told = await child.ask(call, run.report)
            kept = child.runs < RUNS_MAX and run.cancelled_by is None
            return _ended(told)
        except TimeoutError:
            return overdue(task)
        except (asyncio.IncompleteReadError, ConnectionError):
            return failed(f"its process ended: {await child.gone()}", code="died")
        finally:
            if kept:
                self._idle.append(child)
            else:
                await child.kill()

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().kill()


def _ended(told: Told) -> Ended:
    if not told.kind:
        return Delivered()
    if told.kind == "rejected":
        return Rejected(told.reason, code=told.code)
    return RetryLater(
        told.reason,
        after_s=told.after_s,
        code=told.code,
        detail=told.detail,
        cause=Cause(told.kind),
        trip=Trip.NO,
    )
