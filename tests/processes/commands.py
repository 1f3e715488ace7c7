"""The real commands as processes, with no settings but those a test gives."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fixtures.roles import as_deployed
from tests.processes.local_postgres import wait_until

ROOT = Path(__file__).resolve().parents[2]
COMMAND_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """A person's who has set nothing else; `home` is empty."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "TERM": "dumb",
        **settings,
    }


def run(
    module: str, *arguments: str, home: Path, settings: Mapping[str, str], stdin: str | None = None
) -> Ended:
    """Run `python -m module` to its end."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment(home, as_deployed((module, *arguments), settings)),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class Running:
    """A command that stays up; its output is in a file."""

    def __init__(self, arguments: Sequence[str], *, home: Path, settings: Mapping[str, str]) -> None:
        self._output_path = home / "output"
        with self._output_path.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "postroom", *arguments],
                env=environment(home, as_deployed(arguments, settings)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def output(self) -> str:
        return self._output_path.read_text()

    def says(self, text: str) -> bool:
        """Whether it has said so. Errors: `AssertionError` when it ended before."""
        if text in self.output:
            return True
        assert self.process.poll() is None, self.output
        return False


@contextmanager
def running_command(
    arguments: Sequence[str], *, home: Path, settings: Mapping[str, str], ready: str, limit_s: float
) -> Iterator[Running]:
    """Once it says that it is `ready`, and until left."""
    command = Running(arguments, home=home, settings=settings)
    try:
        assert wait_until(lambda: command.says(ready), limit_s=limit_s), command.output
        yield command
    finally:
        if command.process.poll() is None:
            command.process.terminate()
            command.process.wait(limit_s)


def read_environment(path: Path) -> dict[str, str]:
    """The settings that `postroom up` has written for a second terminal."""
    lines = (line.partition("=") for line in path.read_text().splitlines() if "=" in line and line[0] != "#")
    return {name: shlex.split(value)[0] for name, _, value in lines if value}


def processes_of(folder: Path) -> list[int]:
    """Every process that works in a folder, was started with it, or has it in its settings."""
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _belongs(entry, str(folder))]


def all_gone(folder: Path) -> bool:
    """Soon: what multiprocessing starts beside a process ends a moment after it."""
    return wait_until(lambda: processes_of(folder) == [], limit_s=COMMAND_TIMEOUT_S)


def _belongs(entry: Path, folder: str) -> bool:
    try:
        if "\nState:\tZ" in (entry / "status").read_text():
            return False
        told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        return folder.encode() in told or os.readlink(entry / "cwd").startswith(folder)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
