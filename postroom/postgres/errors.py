"""What can go wrong with a local PostgreSQL. Every message says what to do next."""

from __future__ import annotations

from pathlib import Path


class PostgresError(RuntimeError):
    """Base of this package's errors; never holds a password."""


class BinariesNotFound(PostgresError):
    """No usable PostgreSQL binaries; the message lists each place looked at and why it was refused."""


class UnsupportedVersion(PostgresError):
    """Only binaries older than PostgreSQL 14 were found."""


class DataVersionMismatch(PostgresError):
    """The data folder was made by another major version than the binaries at hand."""

    def __init__(self, *, data_dir: Path, data_major: int, offered: str) -> None:
        super().__init__(
            f"{data_dir} was made by PostgreSQL {data_major}, but the binaries chosen are {offered}. "
            f"Use binaries of PostgreSQL {data_major} (the other flavour may have them), or another state "
            f"folder (POSTROOM_STATE_DIR), or delete {data_dir} if its data may go."
        )
        self.data_major = data_major


class AlreadyRunning(PostgresError):
    """Another process runs the server of this state folder."""

    def __init__(self, *, home: Path, pid: int | None, where: str | None) -> None:
        known = f"pid {pid}, {where}" if pid else "it is still starting or stopping"
        super().__init__(
            f"a PostgreSQL already runs on {home} ({known}). Use that one, stop the process that "
            f"started it, or choose another state folder (POSTROOM_STATE_DIR)."
        )
        self.pid = pid


class StartFailed(PostgresError):
    """PostgreSQL did not come up; holds the end of its log and the log's path."""

    def __init__(self, reason: str, *, log_path: Path, log_tail: str) -> None:
        tail = f"\nThe end of {log_path}:\n{log_tail}" if log_tail else f"\nIts log {log_path} is empty."
        super().__init__(reason + tail)
        self.reason = reason
        self.log_path = log_path
        self.log_tail = log_tail
