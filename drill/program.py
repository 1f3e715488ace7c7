"""A program that is no Python module: started, logged, and gone when we are."""

from __future__ import annotations

import asyncio
import shutil
import socket
from asyncio.subprocess import STDOUT, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

STOP_WITHIN_S: Final = 15.0
TAIL_BYTES: Final = 3_000


class Missing(Exception):
    """Programs that the drill needs are not installed; the text says how to get them."""


class Program:
    """Promise: it gets SIGTERM when `stop` is called, and when this process is gone."""

    def __init__(self, process: Process, log_path: Path) -> None:
        self._process = process
        self.log_path = log_path

    @classmethod
    async def start(cls, command: Sequence[str], *, log_path: Path) -> Self:
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "TERM", *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=STDOUT,
                start_new_session=True,
            )
        return cls(process, log_path)

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    def tail(self) -> str:
        return self.log_path.read_bytes()[-TAIL_BYTES:].decode(errors="replace")


def need(packages: Mapping[str, Sequence[str]]) -> None:
    """Errors: `Missing` naming the packages of which a program is not there."""
    missing = [
        package for package, programs in packages.items() if not all(shutil.which(name) for name in programs)
    ]
    if missing:
        raise Missing(f"The drill needs programs of Debian: apt-get install {' '.join(missing)}")


def free_port() -> int:
    """Free now; whoever is quicker makes the start fail, and says so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
