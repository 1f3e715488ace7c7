"""Two PostgreSQL servers, one following the other synchronously, that can be killed and changed over."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from chaos.link import Link
from postroom.base.db import DATABASE_FAILURES
from postroom.base.listener import free_ports
from postroom.postgres.binaries import Binaries, find_binaries
from postroom.postgres.server import LocalPostgres

SETTINGS: Final = {
    "wal_keep_size": "512MB",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_receiver_timeout": "5s",
    "wal_sender_timeout": "5s",
    "wal_retrieve_retry_interval": "200ms",
}
CONNECT_S: Final = 5.0
STOP_WITHIN_S: Final = 10.0
FOLLOWS_WITHIN_S: Final = 20.0
POLL_S: Final = 0.05
START_AGAIN_WITHIN_S: Final = 60.0
BACK_UP_WITHIN_S: Final = 120.0
"""From several tries: on a busy machine a server takes long to come back from each of several crashes."""
AGAIN_S: Final = 0.5
FOLLOWING: Final = "select from pg_stat_replication where state = 'streaming' and sync_state <> 'async'"


class Database:
    """`primary` and, where the machine can make one, `standby`; each behind a link of its own.

    Applications use `dsn`: both links, and whichever takes writes. What checks uses `direct_dsn`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binaries = _with_base_backup()
        self._generation = 0
        self._ports = free_ports(2)
        self._changing = asyncio.Lock()
        self.links = (Link(), Link())
        self._primary_link, self._standby_link = self.links
        self._primary: LocalPostgres | None = None
        self._standby: LocalPostgres | None = None

    @property
    def can_fail_over(self) -> bool:
        return self._standby is not None

    @property
    def direct_dsn(self) -> str:
        """The server that takes writes, without a link. Errors: `RuntimeError` before `start`."""
        return self._running().dsn

    @property
    def dsn(self) -> str:
        parts = urlsplit(self.direct_dsn)
        hosts = ",".join(f"127.0.0.1:{link.port}" for link in self.links)
        user = f"{parts.username}:{parts.password}"
        return urlunsplit(parts._replace(netloc=f"{user}@{hosts}", query="target_session_attrs=read-write"))

    @property
    def dsns(self) -> tuple[str, ...]:
        """What processes are given in turn."""
        return (self.dsn,)

    async def start(self) -> None:
        self._primary = self._server(self._folder / "server-0")
        await asyncio.to_thread(self._primary.start)
        await self._point(self._primary_link, self._primary)
        if self._binaries is None:
            print("chaos: no pg_basebackup beside any PostgreSQL here: fail-over is left out", flush=True)
            await self._standby_link.open()
            await self._standby_link.shut()
            return
        await self._follow()

    async def stop(self) -> None:
        for link in self.links:
            await link.shut()
        for server in (self._standby, self._primary):
            if server is not None:
                with suppress(ProcessLookupError):
                    os.kill(server.state.pid, signal.SIGCONT)
                await asyncio.to_thread(server.stop)

    async def execute(self, statement: str, *arguments: Any) -> list[Any]:
        """Run one statement on the primary, past the link. Errors: those of asyncpg."""
        conn = await asyncpg.connect(self.direct_dsn, timeout=CONNECT_S, command_timeout=CONNECT_S)
        try:
            return list(await conn.fetch(statement, *arguments))
        finally:
            await conn.close(timeout=CONNECT_S)

    async def go_down(self, number: signal.Signals, *, down_s: float) -> None:
        """End the primary's postmaster by a signal, and start it again after `down_s`."""
        async with self._changing:
            primary = self._running()
            os.kill(primary.state.pid, number)
            await asyncio.sleep(down_s)
            await self._start_again(primary)

    async def lose_standby(self, *, down_s: float) -> None:
        """Commits wait meanwhile: that is what synchronous means."""
        async with self._changing:
            if self._standby is None:
                return
            os.kill(self._standby.state.pid, signal.SIGKILL)
            await asyncio.sleep(down_s)
            await self._start_again(self._standby)

    async def fail_over(self) -> bool:
        """Kill the primary for good and promote the standby; a new standby is made from it.

        Returns: False when the standby did not follow, so that nothing was done.
        """
        async with self._changing:
            old, new = self._running(), self._standby
            if new is None or not await self._follows():
                return False
            os.kill(old.state.pid, signal.SIGKILL)
            await self._primary_link.shut()
            conn = await asyncpg.connect(new.dsn, timeout=START_AGAIN_WITHIN_S, command_timeout=60)
            try:
                await conn.execute("select pg_promote(true, 60)")
            finally:
                await conn.close(timeout=CONNECT_S)
            self._primary, self._standby = new, None
            self._primary_link, self._standby_link = self._standby_link, self._primary_link
            await asyncio.to_thread(old.stop)
            await self._follow()
            return True

    async def backends(self) -> list[int]:
        """The pids of Postroom's own sessions on the primary."""
        rows = await self.execute(
            "select pid from pg_stat_activity where application_name like 'postroom%' order by pid"
        )
        return [row["pid"] for row in rows]

    async def _follow(self) -> None:
        """Make a standby of the primary, and wait for it from now on at each commit."""
        primary = self._running()
        self._generation += 1
        state_dir = self._folder / f"server-{self._generation}"
        home = state_dir / "postgres"
        home.mkdir(parents=True, mode=0o700)
        shutil.copy2(self._home_of(primary) / "password", home / "password")
        await self._back_up_in_the_end(primary, home / "data")
        standby = self._server(state_dir)
        await asyncio.to_thread(standby.start)
        self._standby = standby
        await self._point(self._standby_link, standby)
        await self._execute_in_the_end("alter system set synchronous_standby_names = '*'")
        await self._execute_in_the_end("select pg_reload_conf()")

    async def _execute_in_the_end(self, statement: str) -> None:
        """Another fault may have the primary restart just now."""
        async with asyncio.timeout(START_AGAIN_WITHIN_S):
            while True:
                try:
                    await self.execute(statement)
                except DATABASE_FAILURES:
                    await asyncio.sleep(AGAIN_S)
                else:
                    return

    async def _back_up_in_the_end(self, primary: LocalPostgres, data: Path) -> None:
        """Killing a backend of the primary ends the copy too; then it starts anew."""
        # The copy must not wait for a standby of its own once it is promoted.
        await self._execute_in_the_end("alter system reset synchronous_standby_names")
        await self._execute_in_the_end("select pg_reload_conf()")
        give_up_at = asyncio.get_running_loop().time() + BACK_UP_WITHIN_S
        while True:
            try:
                return await self._back_up(primary, data)
            except RuntimeError as error:
                if asyncio.get_running_loop().time() >= give_up_at:
                    raise
                print(f"chaos: {error}; once more", flush=True)
                shutil.rmtree(data, ignore_errors=True)
                await asyncio.sleep(AGAIN_S)

    def _server(self, state_dir: Path) -> LocalPostgres:
        """Always on the same two ports in turn, so that a follower finds what it follows after a restart."""
        port = self._ports[self._generation % len(self._ports)]
        return LocalPostgres(
            state_dir, binaries=self._binaries, port=port, settings=SETTINGS, stop_s=STOP_WITHIN_S
        )

    async def _back_up(self, primary: LocalPostgres, data: Path) -> None:
        if self._binaries is None:
            raise RuntimeError("there is no pg_basebackup")
        process = await asyncio.create_subprocess_exec(
            str(self._binaries.bin_dir / "pg_basebackup"),
            "--pgdata", str(data), "--dbname", _maintenance(primary.dsn), "--write-recovery-conf",
            "--wal-method=stream", "--checkpoint=fast", "--no-sync",
            stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"pg_basebackup failed: {said.decode(errors='replace')}")

    async def _follows(self) -> bool:
        with suppress(TimeoutError, OSError, asyncpg.PostgresError):
            async with asyncio.timeout(FOLLOWS_WITHIN_S):
                while not await self.execute(FOLLOWING):
                    await asyncio.sleep(POLL_S)
                return True
        return False

    async def _start_again(self, server: LocalPostgres) -> None:
        """Its last processes may take a moment to notice that they are orphans."""
        await asyncio.to_thread(server.stop)
        async with asyncio.timeout(START_AGAIN_WITHIN_S):
            await asyncio.to_thread(server.start)

    async def _point(self, link: Link, server: LocalPostgres) -> None:
        link.target_port = server.state.port
        await link.open()

    def _home_of(self, server: LocalPostgres) -> Path:
        return server.log_path.parent

    def _running(self) -> LocalPostgres:
        if self._primary is None:
            raise RuntimeError("the database was not started")
        return self._primary


def _with_base_backup() -> Binaries | None:
    """The first PostgreSQL here that can copy a running server."""
    for binaries in find_binaries():
        if (binaries.bin_dir / "pg_basebackup").is_file():
            return binaries
    return None


def _maintenance(dsn: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path="/postgres"))
