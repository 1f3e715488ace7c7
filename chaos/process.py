"""A process of a run: started, killed, frozen and started again, its output in a file."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postroom.dev.process import ChildProcess

STOP_WITHIN_S = 35.0
FAILED = 1


@dataclass(slots=True)
class ManagedProcess:
    """One name, command and log over many starts."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log_path: Path
    clock_offset_s: float = 0.0
    _child: ChildProcess | None = field(default=None, init=False)
    _failed: bool = field(default=False, init=False)

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.exit_code is None

    @property
    def failed(self) -> bool:
        """Whether it has ever ended with an error of its own."""
        return self._failed or (self._child is not None and self._child.exit_code == FAILED)

    @property
    def pid(self) -> int:
        """Errors: `RuntimeError` when it was never started."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._child.pid

    async def start(self) -> None:
        """Start it if it does not run."""
        if self.running:
            return
        self._failed = self.failed
        command = (
            sys.executable, "-m", "chaos.child", "--parent", str(os.getpid()),
            "--clock-offset-s", str(self.clock_offset_s), *self.command,
        )  # fmt: skip
        self._child = await ChildProcess.start(
            self.name, command, environment=self.environment, log=self.log_path
        )

    def signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.signal(number)

    async def kill(self) -> None:
        if self._child is not None:
            await self._child.kill()

    async def stop(self) -> bool:
        """Ask it to end, then end it. Returns: whether it ended by itself with status 0."""
        if self._child is None:
            return False
        self._child.signal(signal.SIGCONT)
        return await self._child.stop(within_s=STOP_WITHIN_S) == 0
