"""Commands that start in a fork of a process in which the libraries are loaded: half of the time that most of
them take was Python loading those anew.

Of Postroom nothing is loaded before: each command still finds and imports its own modules.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

LIBRARIES: Final = (
    *("aiohttp", "aiosmtplib", "asyncpg", "cryptography.fernet", "jinja2", "msgspec", "pydantic.networks"),
    *("pydantic_settings", "requests", "rich.traceback", "stripe", "structlog", "typer"),
)
AT_START: Final = ("PYTHON", "LANG", "LC_", "TZ")
"""What Python itself reads when it starts: a command that is given any of it is not forked."""


class Forks:
    """One command at a time. It ends with the process that started it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())], env=environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )  # fmt: skip

    def run(self, command: Mapping[str, Any], *, limit_s: float) -> int | None:
        """Returns: its exit code, as `subprocess` has it. None after `limit_s`: then all is killed."""
        self._socket.sendall(json.dumps(command).encode() + b"\n")
        if select.select([self._socket], [], [], limit_s)[0]:
            return int(self._socket.recv(64))
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._socket.close()
        return None


_FREE: list[Forks] = []
"""Those that nobody uses now: tests run commands beside each other, too."""


def run_forked(
    words: Sequence[str],
    *,
    plain: Mapping[str, str],
    settings: Mapping[str, str],
    stdin: str | None,
    limit_s: float,
) -> tuple[int, str, str] | None:
    """`python -m` these words. Returns: exit code, and what it wrote; None: it cannot be forked.

    `plain`: the environment without `settings`. Errors: `subprocess.TimeoutExpired`.
    """
    if any(name.startswith(AT_START) for name in settings):
        return None
    forks = _FREE.pop() if _FREE else Forks(plain)
    with tempfile.TemporaryDirectory() as folder:
        files = {each: str(Path(folder, each)) for each in ("stdin", "stdout", "stderr")}
        Path(files["stdin"]).write_text(stdin or "")
        if stdin is None:
            files["stdin"] = os.devnull
        command = {"words": words, "environment": {**plain, **settings}, "files": files, "cwd": os.getcwd()}
        code = forks.run(command, limit_s=limit_s)
        if code is None:
            raise subprocess.TimeoutExpired(words, limit_s)
        _FREE.append(forks)
        return code, Path(files["stdout"]).read_text(), Path(files["stderr"]).read_text()


def become(command: Mapping[str, Any]) -> None:
    """What Python would have set up for a command of its own."""
    files = command["files"]
    for number, (name, flags) in enumerate(
        (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY | os.O_CREAT), ("stderr", os.O_WRONLY | os.O_CREAT))
    ):
        opened = os.open(files[name], flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(command["cwd"])
    os.environ.clear()
    os.environ.update(command["environment"])
    sys.argv = list(command["words"])


def main() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    with socket.socket(fileno=int(sys.argv[1])) as asking, asking.makefile("rb") as lines:
        for line in lines:
            child = os.fork()
            if child == 0:
                os.close(asking.detach())
                become(json.loads(line))
                break
            asking.sendall(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        else:
            return
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
