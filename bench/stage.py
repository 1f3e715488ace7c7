"""The PostgreSQL of a benchmark run: its own server, stated settings, a database a measurement."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg

from postroom.base.migrate import migrate
from postroom.postgres.binaries import find_binaries
from postroom.postgres.server import LocalPostgres

SETTINGS: Final = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "maintenance_work_mem": "256MB",
    "checkpoint_timeout": "30min",
    "autovacuum_naptime": "10s",
    "wal_compression": "off",
    "max_connections": "200",
}
"""Over the defaults of the local server; fsync, synchronous_commit and full_page_writes stay on.

The local server compresses its WAL; PostgreSQL itself does not unless told to, and so it is measured.
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A running server. `statements`: whether pg_stat_statements is loaded."""

    server: LocalPostgres
    version: str
    pgbench: Path | None
    statements: bool

    async def database(self, *, migrated: bool = True) -> str:
        """A new database; its DSN."""
        dsn = await self.server.create_database(f"bench_{uuid4().hex[:8]}")
        if migrated:
            await migrate(dsn)
        if self.statements:
            await execute(dsn, "create extension if not exists pg_stat_statements")
        return dsn

    async def drop(self, dsn: str) -> None:
        await self.server.drop_database(urlsplit(dsn).path.lstrip("/"))

    def environment(self) -> dict[str, str]:
        """For libpq programs: where the server is, as PG* variables."""
        parts = urlsplit(self.server.dsn)
        return {
            **os.environ,
            "PGHOST": parts.hostname or "",
            "PGPORT": str(parts.port),
            "PGUSER": parts.username or "",
            "PGPASSWORD": parts.password or "",
        }


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Start a server on a folder of its own; both are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="postroom-bench-"))
    [binaries, *_] = find_binaries("auto")
    statements = binaries.has_library("pg_stat_statements")
    settings = {**SETTINGS, **({"shared_preload_libraries": "pg_stat_statements"} if statements else {})}
    pgbench = binaries.bin_dir / "pgbench"
    server = LocalPostgres(folder, binaries=binaries, settings=settings)
    try:
        with server:
            yield Stage(server, str(binaries.version), pgbench if pgbench.exists() else None, statements)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def execute(dsn: str, sql: str, *, timeout_s: float = 600) -> None:
    conn = await asyncpg.connect(dsn, command_timeout=timeout_s)
    try:
        await conn.execute(sql)
    finally:
        await conn.close()


def run(
    arguments: list[str],
    *,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 300,
) -> str:
    """The output of a program. Errors: `RuntimeError` with what it said, `TimeoutExpired`."""
    done = subprocess.run(
        arguments, env=env, cwd=cwd, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout
