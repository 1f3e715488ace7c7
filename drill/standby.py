"""A standby of a running PostgreSQL, made by copying its files: the embedded one has no pg_basebackup."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import Final

from postroom.base.db import Connection, connect
from postroom.postgres.server import LocalPostgres

SLOT: Final = "drill_standby"
FOLLOWS_S: Final = 30.0
NOT_COPIED: Final = shutil.ignore_patterns(
    "pg_wal", "postmaster.*", "pg_replslot", "pgsql_tmp*", "*.history", "standby.signal"
)


async def follow(primary: LocalPostgres, folder: Path) -> LocalPostgres:
    """Start a server in `folder` that follows `primary`, and return once it does. Nobody waits for it yet.

    Errors: `TimeoutError` when it does not follow.
    """
    home = folder / "postgres"
    conn = await connect(primary.dsn, application="drill")
    try:
        await conn.execute("select pg_create_physical_replication_slot($1, true)", SLOT)
        await conn.execute("select pg_backup_start('standby', true)")
        await asyncio.to_thread(_copy, primary.log_path.parent, home)
        label = await conn.fetchval("select labelfile from pg_backup_stop(false)")
        (home / "data" / "backup_label").write_text(label)
        (home / "data" / "standby.signal").touch()
        standby = LocalPostgres(
            folder, settings={"primary_conninfo": _conninfo(primary), "primary_slot_name": SLOT}
        )
        await asyncio.to_thread(standby.start)
        await _wait_until_it_follows(conn)
    finally:
        conn.terminate()
    return standby


def forget(primary: LocalPostgres, standby: LocalPostgres) -> None:
    """Stop it; first nobody must wait for it any more, or whoever commits waits for ever."""
    reset = ("-c", "alter system reset synchronous_standby_names", "-c", "select pg_reload_conf()")
    subprocess.run(["psql", primary.dsn, "-q", *reset], check=False, stdout=subprocess.DEVNULL)
    standby.stop()


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True, mode=0o700)
    shutil.copy2(source / "password", target / "password")
    try:
        shutil.copytree(source / "data", target / "data", ignore=NOT_COPIED, symlinks=True)
    except shutil.Error as error:
        still_there = [each for each in error.args[0] if Path(each[0]).exists()]
        if still_there:  # a running server may take a file away, which its log brings back
            raise
    for name in ("pg_wal", "pg_replslot"):
        (target / "data" / name).mkdir(mode=0o700)
    (target / "data").chmod(0o700)


def _conninfo(primary: LocalPostgres) -> str:
    password = (primary.log_path.parent / "password").read_text()
    return (
        f"host=127.0.0.1 port={primary.state.port} user=postgres password={password} application_name=standby"
    )


async def _wait_until_it_follows(conn: Connection) -> None:
    async with asyncio.timeout(FOLLOWS_S):
        while not await conn.fetchval("select count(*) from pg_stat_replication where state = 'streaming'"):
            await asyncio.sleep(0.1)
