"""One function, every driver: publishing inside the caller's own transaction."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable

import asyncpg
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from postroom.base.db import Pool
from postroom.postgres.binaries import find_binaries

PUBLISH = """select postroom.publish(channel => 'email', payload => '{"to": "ada@example.com"}'::jsonb,
    key => 'welcome:42', tenant => 't', type => 'welcome', correlation_id => 'c', ordering_key => 'o',
    deliver_at => now())"""


async def with_asyncpg(dsn: str, commit: bool) -> None:
    conn = await asyncpg.connect(dsn)
    work = conn.transaction()
    await work.start()
    await conn.fetchval(PUBLISH)
    await (work.commit() if commit else work.rollback())
    await conn.close()


async def with_psycopg(dsn: str, commit: bool) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        await conn.execute(PUBLISH)
        await (conn.commit() if commit else conn.rollback())


async def with_sqlalchemy(dsn: str, commit: bool) -> None:
    engine = create_async_engine("postgresql+asyncpg://", connect_args={"dsn": dsn})
    async with engine.connect() as conn:
        # The colons of a cast would be read as a parameter; SQLAlchemy wants them escaped.
        await conn.execute(text(PUBLISH.replace(":", r"\:")))
        await (conn.commit() if commit else conn.rollback())
    await engine.dispose()


async def with_psql(dsn: str, commit: bool) -> None:
    psql = shutil.which("psql") or find_binaries("embedded")[0].bin_dir / "psql"
    script = f"begin; {PUBLISH}; {'commit' if commit else 'rollback'};"
    process = await asyncio.create_subprocess_exec(psql, dsn, "-v", "ON_ERROR_STOP=1", "-qc", script)
    assert await asyncio.wait_for(process.wait(), 30) == 0


DRIVERS: list[Callable[[str, bool], Awaitable[None]]] = [
    with_asyncpg,
    with_psycopg,
    with_sqlalchemy,
    with_psql,
]


QUEUED = " from postroom.delivery d join postroom.message m on m.id = d.message_id"


@pytest.mark.parametrize("publish", DRIVERS)
async def test_a_commit_publishes_and_a_rollback_does_not(
    publish: Callable[[str, bool], Awaitable[None]], dsn: str, pool: Pool
) -> None:
    await publish(dsn, False)
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0
    await publish(dsn, True)
    await publish(dsn, True)
    [row] = await pool.fetch("select m.ordering_key, m.tenant, d.ordering_key as place" + QUEUED)
    assert (row["ordering_key"], row["tenant"]) == ("o", "t")
    assert row["place"].endswith(":o"), "an ordering key is its tenant's own"


async def test_the_publisher_role_may_publish_and_nothing_else(dsn: str) -> None:
    conn = await asyncpg.connect(dsn)
    await conn.execute("set role postroom_publisher")
    assert await conn.fetchval(PUBLISH)
    assert await conn.fetchval(
        'select count(*) from postroom.publish_many(\'[{"channel": "email", "payload": {}}]\')'
    )
    for forbidden in (
        "select * from postroom.message",
        "delete from postroom.delivery",
        "select postroom.wake('email')",
        "insert into postroom.tally values ('a', 'b', 0, 1)",
        "select * from postroom.endpoint",
        "select postroom.drop_attempt_partitions(0)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(forbidden)
    await conn.close()
