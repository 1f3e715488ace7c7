"""A child process of `postroom up`: its output in a file, its life bound to ours."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from postroom.dev.child import STOP_WITHIN_S
from postroom.dev.log_file import LogFile

KILL_AFTER_S: Final = STOP_WITHIN_S + 2.0
CHUNK_BYTES: Final = 65_536


class ChildProcess:
    """Promise: it ends when `stop` is called, and when this process is gone, however that happened."""

    def __init__(self, name: str, process: Process, log: LogFile) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._copying = asyncio.create_task(self._copy(), name=f"log of {name}")

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log_path: Path,
        descriptors: Sequence[int] = (),
    ) -> ChildProcess:
        """`command`: a module and its arguments. `descriptors`: open files that it gets too."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "postroom.dev.child",
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            env=dict(environment),
            pass_fds=descriptors,
            start_new_session=True,  # Ctrl-C is for us; we end the children in order
        )
        return cls(name, process, LogFile(log_path))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Until it ends. Returns: its exit code."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Ask it to end, wait, and kill it when it takes too long."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(KILL_AFTER_S):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await self._copying
        self.log.close()

    async def _copy(self) -> None:
        output = self._process.stdout
        while output is not None and (chunk := await output.read(CHUNK_BYTES)):
            self.log.write(chunk)
