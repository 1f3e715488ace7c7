"""`python -m chaos.machine --home FOLDER PROGRAM ARGUMENT…`: a program on what is a machine to it.

It has process ids, shared memory and mounts of its own, and is no root. When this process ends, however that
happens, the kernel ends all that runs there: nothing outlives a run. Network and disk are those of the host.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chaos.child import die_with_parent
from postroom.postgres.identity import become

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWPID: Final = 0x20000000
MOUNT_WITHIN_S: Final = 20.0
MOUNTS: Final = (
    ("mount", "--make-rprivate", "/"),
    ("mount", "-t", "proc", "proc", "/proc"),
    ("mount", "-t", "tmpfs", "chaos", "/dev/shm"),
)
NO_PARENT: Final = 0
"""The parent's id as seen from inside."""
LAST_PID: Final = Path("/proc/sys/kernel/ns_last_pid")
PID_STEPS: Final = 997


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.machine")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC):
        raise OSError(ctypes.get_errno(), "no namespace of processes may be made here")
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    _boot(options.home, Path(options.program))
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(options.home), "LC_ALL": "C.UTF-8"}
    os.chdir(options.home)
    os.execve(options.program, [options.program, *options.arguments], environment)
    raise AssertionError("exec does not return")


def _boot(home: Path, program: Path) -> None:
    die_with_parent(NO_PARENT)
    for command in MOUNTS:
        subprocess.run(command, check=True, capture_output=True, timeout=MOUNT_WITHIN_S)
    # A lock file of the last boot names a process id. It must not be somebody else's by chance.
    LAST_PID.write_text(str(int.from_bytes(os.urandom(1)) * PID_STEPS + PID_STEPS))
    become("auto", home=home, bin_dir=program.parent)
    die_with_parent(NO_PARENT)  # becoming somebody else has cleared it


def processes_of(pid: int) -> list[int]:
    """The process ids, here, of all that runs on the machine whose `python -m chaos.machine` is `pid`."""
    try:
        inside = Path(f"/proc/{pid}/ns/pid_for_children").stat().st_ino
    except FileNotFoundError:
        return []  # it has no first process yet, or has ended
    if inside == Path("/proc/self/ns/pid").stat().st_ino:
        return []  # it has not got that far
    return _in_namespace(inside)


def _in_namespace(inode: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if (entry / "ns" / "pid").stat().st_ino == inode:
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended just now
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
