"""The process that runs tasks: `python -m postroom.channels.tasks.child SOCKET MEMORY_MB PLACE…`.

Frames in both directions: four bytes of length, then MessagePack. What a task prints is the runner's output.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from typing import Any, Final

import msgspec

from postroom.base.errors import SettingsInvalid
from postroom.base.operator_code import load_code
from postroom.channels.tasks.outcomes import Ended, of_error
from postroom.channels.tasks.registry import Tasks, tasks_in
from postroom.client.task import CURRENT, TaskRun
from postroom.outbox.model import Delivered, Rejected
from postroom.postgres.watch import die_with_parent

MODULE: Final = "postroom.channels.tasks.child"
HEAD_BYTES: Final = 4


class Call(msgspec.Struct, frozen=True, array_like=True):
    run: TaskRun
    arguments: dict[str, Any]


class Told(msgspec.Struct, frozen=True, array_like=True):
    """How a call ended. `kind`: empty where it is done, `rejected`, or the cause for which it is tried again.

    The first one of all says that the process is ready, or in `reason` why not.
    """

    kind: str = ""
    reason: str = ""
    code: str | None = None
    after_s: float | None = None
    detail: str | None = None


def serve(ours: socket.socket, tasks: Tasks) -> None:
    """Answer calls until the other end closes."""
    with ours.makefile("rb") as source:
        while len(head := source.read(HEAD_BYTES)) == HEAD_BYTES:
            call = msgspec.msgpack.decode(source.read(int.from_bytes(head, "big")), type=Call)
            _tell(ours, _told(_run(call, tasks)))


def _run(call: Call, tasks: Tasks) -> Ended:
    CURRENT.set(call.run)
    task = tasks[call.run.task]
    try:
        task.function(**task.read(call.arguments))
    except (Exception, SystemExit) as error:  # noqa: BLE001  it is told as the outcome
        return of_error(error)
    return Delivered()


def _told(ended: Ended) -> Told:
    match ended:
        case Delivered():
            return Told()
        case Rejected(reason, code):
            return Told("rejected", reason, code)
    return Told(str(ended.cause), ended.reason, ended.code, ended.after_s, ended.detail)


def _tell(ours: socket.socket, told: Told) -> None:
    frame = msgspec.msgpack.encode(told)
    ours.sendall(len(frame).to_bytes(HEAD_BYTES, "big") + frame)


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
        try:
            tasks = tasks_in(load_code(places))
        except SettingsInvalid as error:
            return _tell(ours, Told(reason=str(error)))
        _tell(ours, Told())
        serve(ours, tasks)
    return None


if __name__ == "__main__":
    main()
