"""Notice when the process that asked for a server wants it stopped, or is gone.

Standard library only: the launcher imports it (see launch.py).
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

PR_SET_PDEATHSIG = 1


class StopAsked(Exception):
    """The parent asked to stop, or is gone."""


class Watch:
    """Tells when the parent wants an end or has met its own."""

    def __init__(self, parent_pid: int) -> None:
        self._wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._fds = [0, self._wake_read]
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake the select below
        if sys.platform == "linux":
            with suppress(OSError):  # an old kernel or a sandbox: the pipe alone must do
                self._fds.append(os.pidfd_open(parent_pid))
        if os.getppid() != parent_pid:
            raise StopAsked

    def _ask(self, *_: object) -> None:
        self._asked = True

    def wait(self, timeout_s: float | None) -> None:
        """Until a child changes or the time is over. Errors: `StopAsked`."""
        ready, _, _ = select.select(self._fds, [], [], timeout_s)
        if self._wake_read in ready:
            os.read(self._wake_read, 512)
        if self._asked or any(fd != self._wake_read for fd in ready):
            raise StopAsked


def die_with_parent(parent_pid: int, number: int = signal.SIGINT) -> Callable[[], None]:
    """For the child before exec: this signal as soon as this process is gone, a fast shutdown for PostgreSQL.

    Gone is also a thread that has started it: start it from the main one.
    """

    def arrange() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent_pid:
            os._exit(1)

    return arrange
