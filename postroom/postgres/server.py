"""A local PostgreSQL of our own: for development, `postroom up`, tests and benchmarks."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from postroom.base.listener import free_port
from postroom.postgres import database
from postroom.postgres.binaries import Binaries, Flavour, find_binaries, match_data
from postroom.postgres.cluster import Spec
from postroom.postgres.errors import PostgresError, StartFailed
from postroom.postgres.launcher import Launcher
from postroom.postgres.state import Home, RunningPostgres

DATABASE = "postroom"
START_S = 60.0
STOP_S = 30.0
PORT_ATTEMPTS = 3
LOG_SIZE_MAX_BYTES = 10_000_000

# What a promise of ours rests on; nobody may switch it off, not even a benchmark.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_permissions": "0700",
    "cluster_name": "postroom",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "wal_level": "replica",
    "wal_compression": "on",
    "min_wal_size": "128MB",
    "max_wal_size": "2GB",
    "jit": "off",  # short statements: compiling them costs more than running them
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
}


class LocalPostgres:
    """One server on one state folder. `start` and `stop` block: from async code use `asyncio.to_thread`.

    Promise: one server a state folder, committed data survives `kill -9`, and no server outlives the
    process that started it (any thread of it may start and stop). Does not promise: more than one machine,
    upgrades between major versions.
    """

    def __init__(
        self, state_dir: Path, *, flavour: Flavour = "auto", binaries: Binaries | None = None,
        major: int | None = None, port: int | None = None, settings: Mapping[str, str] | None = None,
        identity: str = "auto", start_s: float = START_S, stop_s: float = STOP_S,
    ) -> None:  # fmt: skip
        """`binaries` wins over `flavour` and `major`; `settings` go over ours.

        `port`: if None, the one of last time, or a free one where there is none or it is taken.
        `identity`: "auto", or for tests "direct", "namespace" or an OS user's name.
        Errors: `PostgresError` when `settings` would give up durability.
        """
        for name, value in DURABLE.items():
            if (settings or {}).get(name, value) != value:
                raise PostgresError(
                    f"{name} stays {value!r}: a measurement or test without it proves nothing"
                )
        self._home = Home(state_dir)
        self._flavour, self._binaries, self._major = flavour, binaries, major
        self._port = port
        self._settings = {**SETTINGS, **(settings or {}), **DURABLE}
        self._identity = identity
        self._start_s, self._stop_s = start_s, stop_s
        self._launcher: Launcher | None = None
        self._state: RunningPostgres | None = None

    def start(self) -> RunningPostgres:
        """Make the data folder if there is none, start the server, return when it takes connections.

        Errors: `AlreadyRunning`, `BinariesNotFound`, `UnsupportedVersion`, `DataVersionMismatch`,
        `StartFailed`. Starting what this object already runs returns the same.
        """
        if self._state and self._launcher and self._launcher.is_alive():
            return self._state
        self._home.create()
        lock_fd = self._home.lock(timeout_s=self._stop_s)
        try:
            self._home.clear()
            binaries = self._choose_binaries()
            self._state = self._launch(binaries, self._password(), lock_fd)
            self._home.write(self._state)
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(lock_fd)  # from here on the server's own processes hold it
        return self._state

    def stop(self) -> None:
        """Shut the server down (fast, then at once after `stop_s`); does nothing when it does not run."""
        launcher, self._launcher, self._state = self._launcher, None, None
        if launcher:
            self._home.clear()
            launcher.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def state(self) -> RunningPostgres:
        """The running server. Errors: `PostgresError` before `start` and after `stop`."""
        if self._state is None:
            raise PostgresError(f"the PostgreSQL of {self._home.path} is not running; start it first")
        return self._state

    @property
    def dsn(self) -> str:
        """A URL every driver reads: TCP on 127.0.0.1 with user, password and database."""
        return self.state.dsn

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self._home.log_path

    def dsn_for(self, name: str, *, socket: bool = False) -> str:
        """The URL of another database of this server; by TCP, or by the quicker Unix socket."""
        return self.state.dsn_for(name, socket=socket)

    async def create_database(self, name: str, *, template: str | None = None) -> str:
        """Make a database, as a copy of `template` if given; returns its URL."""
        await database.create_database(self.dsn, name, template=template)
        return self.dsn_for(name)

    async def drop_database(self, name: str) -> None:
        """Drop a database if it exists, and end the sessions in it."""
        await database.drop_database(self.dsn, name)

    def _choose_binaries(self) -> Binaries:
        candidates = [self._binaries] if self._binaries else find_binaries(self._flavour, major=self._major)
        return match_data(candidates, data_dir=self._home.data_dir, data_major=self._home.data_major())

    def _password(self) -> str:
        """Made before the data folder, kept beside it: initdb writes it into the catalog once."""
        path = self._home.password_path
        if not path.exists():
            if self._home.data_major() is not None:
                raise PostgresError(
                    f"{path} is gone, and {self._home.data_dir} opens with no other password. "
                    f"Restore it, or delete the data if it may go."
                )
            draft = path.with_suffix(".draft")
            draft.unlink(missing_ok=True)
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(24))
            draft.replace(path)
        return path.read_text()

    def _launch(self, binaries: Binaries, password: str, lock_fd: int) -> RunningPostgres:
        if self._home.log_size_bytes() > LOG_SIZE_MAX_BYTES:
            self._home.log_path.replace(self._home.log_path.with_suffix(".log.1"))
        for attempt in range(1, PORT_ATTEMPTS + 1):
            port = self._port or (self._home.read_port() if attempt == 1 else None) or free_port()
            try:
                pid, socket_dir = self._launch_once(binaries, port, lock_fd)
            except StartFailed as error:
                taken = self._port is None and "Address already in use" in error.log_tail
                if not taken or attempt == PORT_ATTEMPTS:
                    raise
                continue
            self._home.write_port(port)
            return RunningPostgres(
                pid=pid, owner_pid=os.getpid(), port=port, socket_dir=socket_dir, version=binaries.version,
                dsn=f"postgresql://postgres:{quote(password, safe='')}@127.0.0.1:{port}/{DATABASE}",
                started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            )  # fmt: skip
        raise AssertionError("the last attempt returns or raises")

    def _launch_once(self, binaries: Binaries, port: int, lock_fd: int) -> tuple[int, str]:
        spec = Spec(
            bin_dir=str(binaries.bin_dir), home=str(self._home.path), database=DATABASE, port=port,
            settings=self._settings, parent_pid=os.getpid(), lock_fd=lock_fd, identity=self._identity,
            start_s=self._start_s, stop_s=self._stop_s,
        )  # fmt: skip
        log_start = self._home.log_size_bytes()
        self._launcher = Launcher(spec)
        report = self._launcher.read_report()
        if report.get("event") == "ready":
            return int(report["pid"]), str(report["socket_dir"])
        self.stop()
        raise StartFailed(
            f"{binaries} did not start: {report['reason']}",
            log_path=self._home.log_path, log_tail=self._home.log_tail(start=log_start),
        )  # fmt: skip
