"""A process of a run: started, killed, frozen and started again, its output in a file."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

STOP_WITHIN_S = 35.0


@dataclass(slots=True)
class ManagedProcess:
    """Only what it started itself is ever signalled, by its pid."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log_path: Path
    clock_offset_s: float = 0.0
    _process: Process | None = field(default=None, init=False)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Errors: `RuntimeError` while it does not run."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process.pid

    async def start(self) -> None:
        """Start it if it does not run."""
        if self.running:
            return
        descriptor = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "chaos.child", "--parent", str(os.getpid()),
                "--clock-offset-s", str(self.clock_offset_s), *self.command,
                stdin=DEVNULL, stdout=descriptor, stderr=STDOUT, env=dict(self.environment),
                start_new_session=True,  # Ctrl-C is for us; we end the children in order
            )  # fmt: skip
        finally:
            os.close(descriptor)

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self._gone()

    async def stop(self) -> bool:
        """Ask it to end, then end it. Returns: whether it ended by itself with status 0."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._gone()
        except TimeoutError:
            await self.kill()
        return self._process is not None and self._process.returncode == 0

    async def _gone(self) -> None:
        if self._process is not None:
            await self._process.wait()
