"""One `postroom up` a state folder, and where it is."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from postroom.base.errors import Conflict

LOCK_NAME: Final = "up.lock"


class AlreadyUp(Conflict):
    """Another `postroom up` runs on this state folder."""


class Instance(msgspec.Struct, frozen=True):
    """What the lock file says of whoever holds it. `url`: None while it starts."""

    pid: int
    url: str | None = None


class Holder:
    """The lock, held."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def tell(self, url: str | None) -> None:
        """Write down who we are, for whoever comes second."""
        content = msgspec.json.encode(Instance(os.getpid(), url))
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, content, 0)


def running_instance(state_dir: Path) -> Instance | None:
    """Whoever runs on the state folder now; None when nobody does, also after a `kill -9`.

    Does not promise: that it still runs a moment later.
    """
    path = state_dir / LOCK_NAME
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Instance)
    except (OSError, msgspec.DecodeError):
        return None
    # The lock is tried only where the process seems to be there, so that we never hold up one that starts.
    return found if _exists(found.pid) and _is_held(path) else None


@contextmanager
def only_one(state_dir: Path) -> Iterator[Holder]:
    """Hold the lock of the state folder; the kernel frees it when this process is gone.

    Errors: `AlreadyUp` saying which process it is and where it answers.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / LOCK_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _already_up(path) from None
        holder = Holder(descriptor)
        holder.tell(None)
        yield holder
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _already_up(path: Path) -> AlreadyUp:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Instance)
    except (OSError, msgspec.DecodeError):
        who, stop = "it is just starting or stopping", "Ctrl-C in its terminal"
    else:
        who = f"pid {found.pid}, {found.url or 'still starting'}"
        stop = f"Ctrl-C in its terminal, or kill {found.pid}"
    return AlreadyUp(
        f"Postroom already runs on {path.parent} ({who}).\n"
        f"Stop it: {stop}. Or run a second one beside it: POSTROOM_STATE_DIR=/another/folder"
    )


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_held(path: Path) -> bool:
    """A number may belong to another program by now; the kernel frees the lock with its holder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
