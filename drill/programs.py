"""Programs of Debian that the drill starts, gone when we are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from postroom.dev.process import ChildProcess


class Missing(Exception):
    """Programs that the drill needs are not installed; the text says how to get them."""


async def start_program(command: Sequence[str], *, log_path: Path) -> ChildProcess:
    """Start what is no Python module; it gets SIGTERM when this process is gone."""
    return await ChildProcess.start(command[0], ("setpriv", "--pdeathsig", "TERM", *command), log=log_path)


def need(packages: Mapping[str, Sequence[str]]) -> None:
    """Errors: `Missing` naming the packages of which a program is not there."""
    missing = [
        package for package, programs in packages.items() if not all(shutil.which(name) for name in programs)
    ]
    if missing:
        raise Missing(f"The drill needs programs of Debian: apt-get install {' '.join(missing)}")
