"""The process that runs tasks: `python -m postroom.channels.tasks.child SOCKET MEMORY_MB PLACE…`.

Frames in both directions: four bytes of length, then MessagePack. What a task prints is the runner's output.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Final

import msgspec

from postroom.base.errors import SettingsInvalid
from postroom.base.operator_code import load_code
from postroom.channels.tasks.outcomes import DONE, Ended, of_error
from postroom.channels.tasks.registry import Tasks, read_call, tasks_in
from postroom.client.task import CURRENT, TaskRun
from postroom.outbox.model import Delivered, Rejected
from postroom.postgres.watch import die_with_parent

MODULE: Final = "postroom.channels.tasks.child"
HEAD_BYTES: Final = 4
CANCEL: Final = signal.SIGUSR1
"""Tells that the call has been cancelled: it is seen whatever the task waits for."""
PROGRESS_STEP: Final = 0.01
RUNS_MAX: Final = 100_000
LOOK_EVERY: Final = 16
"""A process is replaced after so many tasks, or once it has kept half of the memory that it may have: to
start one takes as long as thousands of calls. That is looked up after each `LOOK_EVERY` of them."""


class Call(msgspec.Struct, frozen=True, array_like=True):
    run: TaskRun
    payload: str


class Told(msgspec.Struct, frozen=True, array_like=True):
    """How a call ended. `kind`: empty where it is done, `rejected`, or the cause for which it is tried again;
    `progress` before it has ended.

    `worn`: another process should take its place.

    The first one of all says that the process is ready, or in `reason` why not.
    """

    kind: str = ""
    reason: str = ""
    code: str | None = None
    after_s: float | None = None
    detail: str | None = None
    progress: float = 0.0
    worn: bool = False


_calls: Final = msgspec.msgpack.Decoder(Call)
_telling: Final = msgspec.msgpack.Encoder()


class Link:
    """What a task has to do with the runner while it runs. Threads of the task may use it, too."""

    def __init__(self, ours: socket.socket) -> None:
        self.cancelled = False
        self._ours = ours
        self._one_at_a_time = threading.Lock()
        self.begin()

    def begin(self) -> None:
        """What was told is of an earlier call."""
        self._told, self._told_s = math.inf, -math.inf

    def report(self, done: float) -> None:
        """At most once a second, unless it is a hundredth more or less."""
        now = time.monotonic()
        if abs(done - self._told) >= PROGRESS_STEP or now - self._told_s >= 1:
            self._told, self._told_s = done, now
            self.tell(Told("progress", progress=done))

    def tell(self, told: Told) -> None:
        frame = _telling.encode(told)
        with self._one_at_a_time:
            self._ours.sendall(len(frame).to_bytes(HEAD_BYTES, "big") + frame)


class RunApart(TaskRun, frozen=True, kw_only=True):
    """What `current_task` gives in a process."""

    link: Link

    def _report(self, done: float) -> None:
        self.link.report(done)

    @property
    def cancelled(self) -> bool:
        return self.link.cancelled


def serve(ours: socket.socket, tasks: Tasks, link: Link, *, memory_bytes: int) -> None:
    """Answer calls until the other end closes."""
    own_id = os.getpid()
    worn_bytes = (resident_bytes() + memory_bytes) // 2
    runs = 0
    with ours.makefile("rb") as source:
        while len(head := source.read(HEAD_BYTES)) == HEAD_BYTES:
            call = _calls.decode(source.read(int.from_bytes(head, "big")))
            link.begin()
            told = _told(_run(call, tasks, link))
            if os.getpid() != own_id:
                os._exit(0)  # a copy that the task has forked came back out of it: only the original answers
            runs += 1
            if runs >= RUNS_MAX or (runs % LOOK_EVERY == 0 and resident_bytes() > worn_bytes):
                told = msgspec.structs.replace(told, worn=True)
            link.tell(told)


def resident_bytes() -> int:
    """What this process has in memory."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _run(call: Call, tasks: Tasks, link: Link) -> Ended:
    CURRENT.set(RunApart(**msgspec.structs.asdict(call.run), link=link))
    try:
        task, arguments = read_call(call.run.task, call.payload, tasks)
        task.function(**arguments)
    except (Exception, SystemExit) as error:  # noqa: BLE001  it is told as the outcome
        return of_error(error)
    return DONE


def _told(ended: Ended) -> Told:
    match ended:
        case Delivered():
            return Told()
        case Rejected(reason, code):
            return Told("rejected", reason, code)
    return Told(str(ended.cause), ended.reason, ended.code, ended.after_s, ended.detail)


def main() -> None:
    descriptor, memory_mb, *places = sys.argv[1:]
    die_with_parent(os.getppid(), signal.SIGKILL)()
    # Whoever stops the runner may tell all its processes: the runner decides what is still run to its end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    memory = int(memory_mb) * 1_048_576
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with socket.socket(fileno=int(descriptor)) as ours:
        os.set_inheritable(ours.fileno(), False)
        link = Link(ours)

        def cancel(*_: object) -> None:
            link.cancelled = True  # for good: a process that was told so runs nothing more

        signal.signal(CANCEL, cancel)
        try:
            tasks = tasks_in(load_code(places))
        except SettingsInvalid as error:
            return link.tell(Told(reason=str(error)))
        link.tell(Told())
        serve(ours, tasks, link, memory_bytes=memory)
    return None


if __name__ == "__main__":
    main()
