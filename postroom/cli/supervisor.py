"""Several processes of one command: started again when they end, replaced one by one on SIGHUP."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from postroom.base.cancelling import cancel
from postroom.base.log import get_logger
from postroom.base.notify import notify, watchdog
from postroom.postgres.watch import die_with_parent

log = get_logger(__name__)

PAUSES_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
STEADY_S: Final = 60.0
"""Whoever has lived for so long begins with the first pause again."""
HANGS_S: Final = 120.0
"""Without a word for so long a process hangs. A runner may be blocked for a minute (`BLOCKED_MAX_S`)."""
WRONG_USE: Final = 2
CREDENTIALS: Final = struct.Struct("3i")


def same_command(*options: str) -> tuple[str, ...]:
    """The command that we were started by, with these options: of one given twice the last one counts."""
    return (sys.executable, *sys.orig_argv[1:], *options)


@dataclass(slots=True, eq=False)
class Child:
    """`number`: its own while it lives. `ended`: its exit code. `limit`: kills it."""

    number: int
    process: asyncio.subprocess.Process
    ended: asyncio.Task[int]
    limit: asyncio.TimerHandle | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    leaving: bool = False

    def allow(self, seconds: float) -> None:
        """It is killed after so long, unless it is allowed more, or ends."""
        if self.limit is not None:
            self.limit.cancel()
        self.limit = asyncio.get_running_loop().call_later(seconds, self.kill)

    def leave(self, number: signal.Signals, within_s: float) -> None:
        if not self.leaving:
            self.leaving = True
            self.allow(within_s)
        self.signal(number)

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self) -> None:
        log.error("supervisor.kills", pid=self.process.pid, why="no end" if self.leaving else "no word")
        self.signal(signal.SIGKILL)


class Supervisor:
    """Keeps `count` processes until SIGTERM or SIGINT, which all of them get.

    Promise: one that ends is started again, after a longer pause each time. SIGHUP replaces them one after
    the other, each by one that is ready, so that there is one more meanwhile. None outlives us, however we
    end. How they are, they tell us as they would tell systemd.
    """

    def __init__(
        self,
        name: str,
        count: int,
        *,
        command: Callable[[int], Sequence[str]],
        environment: Mapping[str, str],
        descriptors: Sequence[int] = (),
        stop_within_s: float,
        on_end: Callable[[int], None] = lambda _: None,
        pauses_s: Sequence[float] = PAUSES_S,
        hangs_s: float = HANGS_S,
    ) -> None:
        """`command` of a number from 0 to `count`; `on_end` of the number that is free again."""
        self._name, self._count = name, count
        self._command, self._on_end = command, on_end
        self._descriptors, self._stop_within_s = descriptors, stop_within_s
        self._pauses_s, self._hangs_s = pauses_s, hangs_s
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._inbox.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._inbox.bind("")  # the kernel finds a name that is in no folder, so nothing is left behind
        self._environment = {
            **{name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"},
            **environment,
            "NOTIFY_SOCKET": "@" + self._inbox.getsockname()[1:].decode(),
            "WATCHDOG_USEC": str(round(hangs_s * 1e6)),
        }
        self._free = set(range(count + 1))
        self._children: dict[int, Child] = {}  # by process id: all that live
        self._places: dict[int, Child] = {}  # those that count
        self._stopping, self._reload = asyncio.Event(), asyncio.Event()
        self._placing = asyncio.Lock()
        self._replaced: int | None = None
        self._state, self._code, self._was_ready = "", 0, False

    async def run(self) -> int:
        """Until all have ended. Returns: 0, or 2 where they said at first that they are used wrongly."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        loop.add_reader(self._inbox, self._hear)
        replacing = asyncio.create_task(self._replace_when_asked(), name="replacing")
        async with watchdog(lambda: any(child.ready.is_set() for child in self._children.values())):
            await asyncio.gather(*map(self._keep, range(self._count)))
            await cancel([replacing])
            await asyncio.gather(*(child.ended for child in self._children.values()))
        loop.remove_reader(self._inbox)
        self._inbox.close()
        return self._code

    async def _keep(self, place: int) -> None:
        """Somebody is here until we stop. Who comes by way of SIGHUP is put here by `_replace`."""
        failures = 0
        while not self._stopping.is_set():
            began_s = time.monotonic()
            code = await self._live(place)
            if self._stopping.is_set() or place in self._places:  # replaced
                continue
            if code == WRONG_USE and not self._was_ready:
                self._code = code  # it has said why, and the next would say the same
                self._stop()
                continue
            failures = 1 if time.monotonic() - began_s >= STEADY_S else failures + 1
            pause_s = self._pauses_s[min(failures, len(self._pauses_s)) - 1]
            log.error("supervisor.ended", exit_code=code, again_in_s=pause_s)
            self._tell()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _live(self, place: int) -> int | None:
        """Until whoever is here has ended. Returns: the exit code; None where nobody could be started."""
        async with self._placing:
            child = self._places.get(place) or await self._start()
            if child is None:
                return None
            self._places[place] = child
        code = await child.ended
        if self._places[place] is child:
            del self._places[place]
        return code

    async def _replace_when_asked(self) -> None:
        while await self._reload.wait():
            self._reload.clear()
            if not await self._replace() and not self._stopping.is_set():
                log.error("supervisor.not_replaced", replaced=self._replaced, of=self._count)
            self._replaced = None
            self._tell()

    async def _replace(self) -> bool:
        """Returns: False where a new one ended before it was ready; the others are then left as they are."""
        for place in range(self._count):
            self._replaced = place
            self._tell()
            if (fresh := await self._start()) is None:
                return False
            ready = asyncio.create_task(fresh.ready.wait())
            await asyncio.wait({ready, fresh.ended}, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            if fresh.ended.done():
                return False
            async with self._placing:
                old, self._places[place] = self._places.get(place), fresh
            if old is not None:
                old.leave(signal.SIGHUP, self._stop_within_s)
                await asyncio.wait({old.ended})
        return True

    async def _start(self) -> Child | None:
        number = min(self._free)
        self._free.remove(number)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(number),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=self._descriptors,
                start_new_session=True,  # Ctrl-C is for us
                preexec_fn=die_with_parent(os.getpid(), signal.SIGKILL),
            )
        except OSError as error:
            log.error("supervisor.cannot_start", error=repr(error))  # noqa: TRY400  the system's word is enough
            self._free.add(number)
            return None
        child = Child(number, process, asyncio.create_task(self._attend(process, number)))
        child.allow(self._hangs_s)
        self._children[process.pid] = child
        if self._stopping.is_set():
            child.leave(signal.SIGTERM, self._stop_within_s)
        return child

    async def _attend(self, process: asyncio.subprocess.Process, number: int) -> int:
        code = await process.wait()
        limit = self._children.pop(process.pid).limit
        if limit is not None:
            limit.cancel()
        self._on_end(number)
        self._free.add(number)
        self._tell()
        return code

    def _stop(self) -> None:
        """A second time the signal is passed on again, so that who waits waits no more."""
        self._stopping.set()
        notify(STOPPING="1")
        for child in self._children.values():
            child.leave(signal.SIGTERM, self._stop_within_s)
        self._tell()

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            while True:
                text, ancillary, _, _ = self._inbox.recvmsg(4_096, socket.CMSG_SPACE(CREDENTIALS.size))
                # The kernel says who it is: the name of our socket is no secret.
                for _, kind, data in ancillary:
                    child = self._children.get(CREDENTIALS.unpack(data)[0])
                    if kind == socket.SCM_CREDENTIALS and child is not None and not child.leaving:
                        child.allow(self._hangs_s)
                        if b"READY=1" in text.splitlines():
                            child.ready.set()
        self._tell()

    def _tell(self) -> None:
        """One line, where it is another than before."""
        ready = sum(child.ready.is_set() for child in self._places.values())
        state = f"{ready} of {self._count} {self._name} ready"
        if self._replaced is not None:
            state += f"; {self._replaced} of {self._count} replaced"
        if self._stopping.is_set():
            state = f"stopping: {len(self._children)} left"
        if state != self._state:
            self._state = state
            log.info("supervisor.state", state=state)
            notify(STATUS=state)
        if ready and not self._was_ready:
            self._was_ready = True
            notify(READY="1")
