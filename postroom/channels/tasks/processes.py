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
from typing import Any, Final, cast

import msgspec

from postroom.base.errors import Unavailable
from postroom.channels.tasks.child import CANCEL, HEAD_BYTES, MODULE, Call, Told
from postroom.channels.tasks.outcomes import DONE, Ended, failed, overdue
from postroom.channels.tasks.runs import GRACE_S, Run
from postroom.client.task import Task
from postroom.outbox.model import Cause, Rejected, RetryLater, Trip

START_S: Final = 60.0
"""For a process to import the operator's code."""
STOP_S: Final = 5.0
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Told).decode


class Child(asyncio.Protocol):
    """One process, which runs one call after the other."""

    def __init__(self, process: Process, loop: asyncio.AbstractEventLoop) -> None:
        self._process = process
        self._loop = loop
        self._read = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self._report: Callable[[float], None] | None = None
        self._told: asyncio.Future[Told] = loop.create_future()

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
        loop = asyncio.get_running_loop()
        child = cls(process, loop)
        try:
            async with asyncio.timeout(START_S):
                await loop.create_connection(lambda: child, sock=ours)
                told = await child._told
        except (TimeoutError, ConnectionError) as error:
            raise Unavailable(f"a process for tasks did not start: {await child.kill()}") from error
        except asyncio.CancelledError:
            await child.kill()
            raise
        if told.reason:
            await child.kill()
            raise Unavailable(f"a process for tasks did not start: {told.reason}")
        return child

    async def ask(self, call: Call, limit_s: float, run: Run) -> Told:
        """For `limit_s` at most, and for `GRACE_S` once somebody has cancelled `run`.

        Errors: `TimeoutError`; `ConnectionError` once it is gone.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError
        told: asyncio.Future[Told] = self._loop.create_future()
        self._told = told
        timer = self._loop.call_later(limit_s, self._expire)

        def cancel() -> None:
            nonlocal timer
            timer.cancel()
            self.tell_cancelled()
            timer = self._loop.call_later(GRACE_S, self._expire)

        run.on_cancel, self._report = cancel, run.report
        frame = _encode(call)
        self._transport.write(len(frame).to_bytes(HEAD_BYTES, "big") + frame)
        try:
            return await told
        finally:
            timer.cancel()
            self._report = run.on_cancel = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        read = self._read
        read += data
        while len(read) >= HEAD_BYTES:
            end = HEAD_BYTES + int.from_bytes(read[:HEAD_BYTES], "big")
            if len(read) < end:
                return
            told = _decode(read[HEAD_BYTES:end])
            del read[:end]
            if told.kind != "progress":
                if not self._told.done():
                    self._told.set_result(told)
            elif self._report is not None:
                self._report(told.progress)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._told.done():
            self._told.set_exception(ConnectionResetError())

    def _expire(self) -> None:
        if not self._told.done():
            self._told.set_exception(TimeoutError())

    def tell_cancelled(self) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(CANCEL)

    async def kill(self) -> str:
        """End it, and all that it has started. Returns: how it has ended."""
        if self._transport is not None:
            self._transport.close()
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
            if run.cancelled_by is not None:  # while it waited for the process: it is not called
                kept = True
                return DONE
            told = await child.ask(call, task.timeout_s, run)
            kept = not told.worn and run.cancelled_by is None
            return _ended(told)
        except TimeoutError:
            return overdue(task)
        except ConnectionError:
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
        return DONE
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
