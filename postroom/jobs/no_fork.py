"""No copies of the runner: one would read and write on the connections of the original, and both be lost."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

FORKS: Final = frozenset(("os.fork", "os.forkpty"))
"""What Python announces to its audit hooks, before there is a copy. A subprocess is announced otherwise."""
REFUSED: Final = (
    "a fork in the runner is refused, for the copy would go on with its connections: use subprocess, the "
    "start method 'spawn' of multiprocessing, or a task that is a plain def"
)


@contextmanager
def no_fork() -> Iterator[None]:
    """While this is open, `os.fork` and what is built on it raise `RuntimeError`, in any thread.

    Does not promise: the same of libraries in C that fork past Python.
    """
    refuses = True

    def refuse(event: str, _arguments: object) -> None:
        if event in FORKS and refuses:
            raise RuntimeError(REFUSED)

    sys.addaudithook(refuse)  # there is no way to take it back
    try:
        yield
    finally:
        refuses = False
