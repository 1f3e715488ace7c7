"""One data folder and the server process on it, inside the launcher.

Standard library only: the launcher imports it (see launch.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from postroom.postgres.watch import StopAsked, Watch, die_with_parent

SOCKET_PATH_BYTES_MAX = 103  # the smallest limit of the systems we know (Linux has 107)
SOCKET_DIR_SHORT = "/tmp"  # noqa: S108 - mkdtemp makes a private folder in it; TMPDIR may be long too
READY_POLL_S = 0.02
QUIT_S = 10.0
# The server sees none of our secrets, and no PG* variable bends it.
KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH")
FIXED_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run. `home` holds `data/`, `server.log` and `password`; it belongs to us."""

    bin_dir: str
    home: str
    database: str
    port: int
    settings: dict[str, str]
    parent_pid: int
    lock_fd: int
    identity: str  # "auto", "direct", "namespace", or the name of an OS user
    start_s: float
    stop_s: float


class LaunchFailed(Exception):
    """A reason for people; the log has the rest."""


class Cluster:
    """The data folder `home/data` and its server."""

    def __init__(self, spec: Spec, watch: Watch) -> None:
        self._spec = spec
        self._watch = watch
        self._home = Path(spec.home)
        self.data_dir = self._home / "data"
        self._log_path = self._home / "server.log"

    def make_data(self, password: str) -> None:
        """Create the data folder and the database once; an interrupted attempt leaves nothing that counts.

        All is made under another name and renamed when complete.
        """
        for leftover in self._home.glob("initdb-*"):
            shutil.rmtree(leftover)
        if (self.data_dir / "PG_VERSION").exists():
            return
        work_dir = Path(tempfile.mkdtemp(prefix="initdb-", dir=self._home))
        password_file = work_dir / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(password)
        made = work_dir / "data"
        self._run("initdb", "--username=postgres", f"--pwfile={password_file}", "--auth=scram-sha-256",
                  "--encoding=UTF8", "--locale=C", "--data-checksums", f"--pgdata={made}")  # fmt: skip
        # Single-user mode needs no port and no login; without exit_on_error a failure looks like success.
        self._run("postgres", "--single", "-c", "exit_on_error=on", "-D", str(made), "postgres",
                  stdin=f'create database "{self._spec.database}";\n')  # fmt: skip
        made.rename(self.data_dir)
        folder = os.open(self._home, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        shutil.rmtree(work_dir)

    def _run(self, program: str, *arguments: str, stdin: str = "") -> None:
        with self._spawn(program, *arguments) as process:
            if process.stdin:
                process.stdin.write(stdin.encode())
                process.stdin.close()
            try:
                self._wait_exit(process, self._spec.start_s)
            finally:
                if process.poll() is None:
                    process.kill()
        if process.returncode != 0:
            raise LaunchFailed(f"{program} failed with status {process.returncode}")

    def _wait_exit(self, process: subprocess.Popen[bytes], limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise LaunchFailed(f"{process.args!r} took longer than {limit_s:.0f} s")
            self._watch.wait(max(0.0, deadline - time.monotonic()))

    def _spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log_path.open("ab") as log:
            kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
            return subprocess.Popen(  # noqa: S603 - a path found by us, no shell
                [f"{self._spec.bin_dir}/{program}", *arguments],
                stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self._home,
                # The lock is held by every process of the server, so that it ends with the last of them.
                pass_fds=(self._spec.lock_fd,), env=kept | FIXED_ENVIRONMENT,
                preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509 - this process has one thread only
            )  # fmt: skip

    def run(self, on_ready: Callable[[int, str], None]) -> None:
        """Run the server until an end is asked for, or it ends by itself.

        `on_ready` gets its pid and socket folder as soon as it takes connections.
        """
        with self._socket_dir() as socket_dir:
            options = {
                **self._spec.settings,
                "port": str(self._spec.port),
                "unix_socket_directories": socket_dir,
            }
            flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
            with self._spawn("postgres", "-D", str(self.data_dir), *flags) as process:
                try:
                    self._wait_ready(process)
                    on_ready(process.pid, socket_dir)
                    while process.poll() is None:
                        self._watch.wait(None)
                except StopAsked:
                    pass
                finally:
                    self._end(process)

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._spec.start_s
        while not self._says_ready(process.pid):
            if process.poll() is not None:
                raise LaunchFailed(f"postgres ended with status {process.returncode} while starting")
            if time.monotonic() > deadline:
                raise LaunchFailed(f"postgres was not ready after {self._spec.start_s:.0f} s")
            self._watch.wait(READY_POLL_S)

    def _says_ready(self, pid: int) -> bool:
        """The eighth line of `postmaster.pid` is the server's own word on its state."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() in ("ready", "standby")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Fast shutdown; then, past the limit, an immediate one; then the kernel's."""
        for number, limit_s in ((signal.SIGINT, self._spec.stop_s), (signal.SIGQUIT, QUIT_S)):
            if process.poll() is None:
                process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(limit_s)
        if process.poll() is None:
            process.kill()

    @contextmanager
    def _socket_dir(self) -> Iterator[str]:
        """Our own folder, or a short one when the path would be too long for a socket."""
        if len(os.fsencode(self._home / f".s.PGSQL.{self._spec.port}.lock")) <= SOCKET_PATH_BYTES_MAX:
            yield str(self._home)
            return
        short = tempfile.mkdtemp(prefix="postroom-", dir=SOCKET_DIR_SHORT)
        try:
            yield short
        finally:
            shutil.rmtree(short)
