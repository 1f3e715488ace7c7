"""Whether a fail-over would lose what was acknowledged, read from a server with a real standby."""

from __future__ import annotations

import asyncio
from pathlib import Path

from drill.standby import SLOT, follow
from postroom.base.db import Connection, connect
from postroom.base.migrate import migrate
from postroom.metrics.gauges import read_gauges
from postroom.postgres.server import LocalPostgres


async def waits(conn: Connection, names: str, *, until: int) -> None:
    """Name whom a commit waits for, and return once so many do answer for it."""
    await conn.execute(f"alter system set synchronous_standby_names = '{names}'")
    await conn.execute("select pg_reload_conf()")
    async with asyncio.timeout(30):
        while (await read_gauges(conn)).vitals.standbys_synchronous != until:
            await asyncio.sleep(0.05)


async def test_a_standby_that_nobody_waits_for_loses_commits(tmp_path: Path) -> None:
    primary, other = tmp_path / "primary", tmp_path / "other"
    primary.mkdir()
    other.mkdir()
    with LocalPostgres(primary) as server:
        await migrate(server.dsn)
        conn = await connect(server.dsn, application="test")
        try:
            assert not (await read_gauges(conn)).loses_commits, "one machine has nothing to fail over to"
            standby = await follow(server, other)
            try:
                assert (await read_gauges(conn)).loses_commits
                assert not (await read_gauges(conn, standbys_may_lag=True)).loses_commits
                await waits(conn, "ANY 1 (*)", until=1)
                assert not (await read_gauges(conn)).loses_commits
                await conn.execute("set synchronous_commit = local")
                assert (await read_gauges(conn)).loses_commits, "what waits for no standby, as ours would"
                await conn.execute("reset synchronous_commit")
                await waits(conn, "", until=0)
            finally:
                await asyncio.to_thread(standby.stop)
            assert (await read_gauges(conn)).loses_commits, "it is away, and its slot is there"
            await conn.execute("select pg_drop_replication_slot($1)", SLOT)
            assert not (await read_gauges(conn)).loses_commits
        finally:
            conn.terminate()
