"""`python -m chaos.child [--clock-offset-s N] MODULE ARGUMENT…`: a process of a run.

It is killed by the kernel when the run's process dies, even while it is frozen. With an offset its
own clock is wrong; the database's is not.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from postroom.base.clock import SystemClock

PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """SIGKILL for this process as soon as the one that started it is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit(1)


def shift_clock(offset_s: float) -> None:
    """Make the one clock of this process wrong; called before anything reads it."""
    offset = timedelta(seconds=offset_s)

    def now(_: SystemClock) -> datetime:
        return datetime.now(UTC) + offset

    setattr(SystemClock, "now", now)  # noqa: B010  what a wrong machine clock does; mypy refuses the plain form


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m chaos.child")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--clock-offset-s", type=float, default=0.0)
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    die_with_parent(options.parent)
    if options.clock_offset_s:
        shift_clock(options.clock_offset_s)
    sys.argv = [options.module, *options.arguments]
    runpy.run_module(options.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
