"""What is known on disk about the server of a state folder, and whether that is still true."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from postroom.postgres.errors import AlreadyRunning, PostgresError

LOCK_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class RunningPostgres:
    """A server that answers; `dsn` holds the password, `where` does not."""

    pid: int
    owner_pid: int  # the process that started it and will stop it
    dsn: str
    port: int
    socket_dir: str
    version: str
    started_at: str  # RFC 3339, UTC

    @property
    def where(self) -> str:
        """The address without the password, for logs and error messages."""
        parts = urlsplit(self.dsn)
        return urlunsplit(parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}"))

    def dsn_for(self, database: str, *, socket: bool = False) -> str:
        """The same server, another database; by TCP, or by the quicker Unix socket."""
        return with_database(self.socket_dsn if socket else self.dsn, database)

    @property
    def socket_dsn(self) -> str:
        """By Unix socket: about a fifth quicker than TCP, but not every client reads such a URL."""
        parts = urlsplit(self.dsn)
        query = f"host={quote(self.socket_dir, safe='/')}&port={self.port}"
        return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@", query=query))


def with_database(dsn: str, database: str) -> str:
    """The DSN with another database name."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{quote(database, safe='')}"))


class Home:
    """The folder `postgres/` of a state folder: data, log, password, port, lock and state file. Mode 0700."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir.absolute() / "postgres"
        self.data_dir = self.path / "data"
        self.log_path = self.path / "server.log"
        self.password_path = self.path / "password"
        self.port_path = self.path / "port"
        self.lock_path = self.path / "lock"
        self.state_path = self.path / "postgres.json"

    def create(self) -> None:
        """Make the folder when it is missing; folders that exist keep their mode and owner.

        Errors: `PostgresError` when it is another user's.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self.path.mkdir(mode=0o700)
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise self._foreign()

    def _foreign(self) -> PostgresError:
        return PostgresError(
            f"{self.path} belongs to user id {self.path.stat().st_uid} and we are {os.geteuid()}. "
            f"Run as that user, or choose another state folder (POSTROOM_STATE_DIR)."
        )

    def data_major(self) -> int | None:
        """The major version that made the data; None when there is no data yet.

        Errors: `PostgresError` when the folder holds something that is no finished data folder.
        """
        try:
            return int((self.data_dir / "PG_VERSION").read_text().strip())
        except FileNotFoundError:
            if self.data_dir.exists():
                raise PostgresError(
                    f"{self.data_dir} exists but is no PostgreSQL data folder (PG_VERSION is missing). "
                    f"Move it away, or choose another state folder (POSTROOM_STATE_DIR)."
                ) from None
            return None

    def read_port(self) -> int | None:
        """The port of last time: what people wrote down of it should stay true."""
        try:
            return int(self.port_path.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def write_port(self, port: int) -> None:
        """Keep it for the next start."""
        self.port_path.write_text(f"{port}\n")

    def log_tail(self, *, start: int = 0, lines: int = 20) -> str:
        """The last lines of the log that were written after byte `start`."""
        with suppress(FileNotFoundError), self.log_path.open("rb") as log:
            log.seek(start)
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        return ""

    def log_size_bytes(self) -> int:
        """0 when there is none."""
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def lock(self, *, timeout_s: float) -> int:
        """A file descriptor that holds the lock. Waits for a server that is ending, not for one in use.

        Errors: `AlreadyRunning`.
        """
        fd = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait_for_lock(fd, timeout_s)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _wait_for_lock(self, fd: int, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not _try_lock(fd, fcntl.LOCK_EX):
            known = self.read()
            in_use = known is not None and is_alive(known.pid) and is_alive(known.owner_pid)
            if in_use or time.monotonic() > deadline:
                pid, where = (known.pid, known.where) if known else (None, None)
                raise AlreadyRunning(home=self.path, pid=pid, where=where)
            time.sleep(LOCK_POLL_S)

    def is_locked(self) -> bool:
        """Whether any process of a server still holds the lock."""
        try:
            fd = os.open(self.lock_path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _try_lock(fd, fcntl.LOCK_SH)
        finally:
            os.close(fd)

    def read(self) -> RunningPostgres | None:
        """What the state file says, true or not; None when there is none, or one of another release.

        Errors: `PostgresError` when it is another user's.
        """
        try:
            return RunningPostgres(**json.loads(self.state_path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        except PermissionError:
            raise self._foreign() from None

    def write(self, state: RunningPostgres) -> None:
        """Replace the state file in one step; only its owner may read it, for it holds the password."""
        draft = self.state_path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(state), indent=2) + "\n")
        draft.replace(self.state_path)

    def clear(self) -> None:
        """Forget the state file."""
        self.state_path.unlink(missing_ok=True)


def running(state_dir: Path) -> RunningPostgres | None:
    """The server that runs on a state folder now, from whichever process; None when there is none.

    A state file left by a dead server, or a pid that now belongs to another program, does not count.
    Does not promise: that it still runs a moment later.
    """
    home = Home(state_dir)
    state = home.read()
    if state is None or not home.is_locked() or not is_alive(state.pid):
        return None
    return state


def _try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_alive(pid: int) -> bool:
    """Whether a process of this number exists, ours or not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
