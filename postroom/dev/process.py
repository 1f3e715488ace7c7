"""A child process: its output in a file, and gone when it is told to end."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from postroom.dev.child import STOP_WITHIN_S
from postroom.dev.log_file import LogFile, tail

KILL_AFTER_S: Final = STOP_WITHIN_S + 2.0
CHUNK_BYTES: Final = 65_536


def module(*command: str) -> tuple[str, ...]:
    """The command for a module that ends when this process is gone, however that happened."""
    return (sys.executable, "-m", "postroom.dev.child", *command)


class ChildProcess:
    """Promise: it ends when `stop` or `kill` is called. Only what it started itself is ever signalled.

    Does not promise: that it ends with this process; `module` does.
    """

    def __init__(self, name: str, process: Process, log: LogFile | Path) -> None:
        self.name = name
        self.log_path = log.path if isinstance(log, LogFile) else log
        self._process = process
        self._copying = (
            asyncio.create_task(self._copy(log), name=f"log of {name}") if isinstance(log, LogFile) else None
        )

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log: LogFile | Path,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> ChildProcess:
        """`log`: a bounded file that is written through us, or a path that the process writes to by itself.

        `environment`: ours where it is None. `descriptors`: open files that it gets too.
        """
        output = log.open("ab") if isinstance(log, Path) else None
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=output or PIPE,
                stderr=STDOUT,
                env=None if environment is None else dict(environment),
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C is for us; we end the children in order
            )
        finally:
            if output is not None:
                output.close()
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.returncode

    def tail(self) -> str:
        """The last lines of its output, for a person."""
        return tail(self.log_path)

    async def wait(self) -> int:
        """Until it ends. Returns: its exit code."""
        return await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Does nothing once it has ended."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def stop(self, *, within_s: float = KILL_AFTER_S) -> int:
        """Ask it to end, wait, and kill it when it takes too long. Returns: its exit code."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(within_s):
                await self._process.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
        return await self._end()

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self._end()

    async def _end(self) -> int:
        code = await self._process.wait()
        if self._copying is not None:
            await self._copying
        return code

    async def _copy(self, log: LogFile) -> None:
        output = self._process.stdout
        try:
            while output is not None and (chunk := await output.read(CHUNK_BYTES)):
                log.write(chunk)
        finally:
            log.close()
