"""Migrations: bring the schema to what this code needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from alembic import command, op
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import await_only

from postroom.base.db import CONNECT_TIMEOUT_S, Connection, query
from postroom.base.errors import Unavailable
from postroom.base.schema import fetch_revision, head, migrations_folder, read_schema

_TRY_LOCK = query(__package__, "try_migration_lock")
_CLOSE_PORTAL = query(__package__, "close_portal")
_INDEX_VALID = query(__package__, "is_index_valid")
_CREATE_PUBLISHERS = query(__package__, "create_publishers")
_SCHEMA_EXISTS = query(__package__, "schema_exists")
_ACT_AS_OWNER = query(__package__, "act_as_owner")
_ACT_AS_ONESELF = query(__package__, "act_as_oneself")

LOCK = 7_265_001
LOCK_TIMEOUT = "60s"
VIEWS_LOCK_TIMEOUT = "5s"
INDEX_WITHIN_S = 3600.0
POLL_S = 0.1


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    return config


def run_files(*names: str) -> None:
    """For a migration: run files of `migrations/sql`, by name, in its transaction.

    Errors: what the driver raises.
    """
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise RuntimeError("migrations need an open connection")
    for name in names:
        await_only(driver.execute(_script(name)))


def _script(name: str) -> str:
    return (migrations_folder() / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def roles_script() -> str:
    """What makes the roles of a database and gives its schema to their owner, for whoever may do that."""
    return _script("roles")


def _concurrent(name: str) -> str:
    return _script(f"indexes/{name}")


def _indexes(attribute: str) -> list[str]:
    """What the migrations say of indexes of tables that may be large and in use, oldest first."""
    revisions = ScriptDirectory.from_config(_config()).walk_revisions()
    return [name for each in reversed(list(revisions)) for name in getattr(each.module, attribute, ())]


async def _create_indexes(conn: Connection) -> None:
    """Before the migrations: what `CREATES` names and is not there, or was left half made."""
    if await fetch_revision(conn) is None:
        return
    for name in _indexes("CREATES"):
        valid = await conn.fetchval(_INDEX_VALID, f"postroom.{name}")
        if valid is False:
            await conn.execute(_concurrent(f"{name}.drop"), timeout=INDEX_WITHIN_S)
        if not valid:
            await conn.execute(_concurrent(f"{name}.create"), timeout=INDEX_WITHIN_S)


async def _drop_indexes(conn: Connection) -> None:
    """After the migrations: what `DROPS` names and is still there."""
    for name in _indexes("DROPS"):
        await conn.execute(_concurrent(f"{name}.drop"), timeout=INDEX_WITHIN_S)


@asynccontextmanager
async def _alone(dsn: str) -> AsyncIterator[None]:
    """Hold the lock of migrations. Who waits for it keeps no snapshot: making an index waits for them."""
    conn = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        async with asyncio.timeout(INDEX_WITHIN_S), conn.transaction():
            while not await conn.fetchval(_TRY_LOCK, LOCK):
                await conn.execute(_CLOSE_PORTAL)
                await asyncio.sleep(POLL_S)
            await conn.execute(_CLOSE_PORTAL)
            yield
    finally:
        await conn.close(timeout=CONNECT_TIMEOUT_S)


def _upgrade(connection: SyncConnection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    if not connection.exec_driver_sql(_SCHEMA_EXISTS).scalar():
        connection.execute(text("create schema postroom"))
    command.upgrade(config, "head")


async def migrate(dsn: str, *, roles: bool = False) -> str:
    """Upgrade to `head` in one transaction; several callers at once follow each other.

    A schema that is ahead of this code is left as it is, as in a rolling deploy.

    Indexes of large tables are made before it and dropped after it, beside publishers that go on. Both wait
    for transactions that are open by then, and are taken up again by the next call if they are cut off.
    The views of Stripe's objects get what `migrations/sql/stripe_views.sql` says, and lose nothing.
    The roles of the database that exist may do afterwards what `migrations/sql/grants.sql` says, and no more.
    `roles`: make them first, and give the schema to their owner; the user must be allowed to.
    Returns: the revision that the schema is at.
    Errors: what the driver raises; nothing is changed then, but for indexes. `Unavailable` where only views
    are left to be made, for somebody reads them.
    """
    schema = read_schema()
    async with _alone(dsn):
        conn = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
        try:
            revision = await fetch_revision(conn)
            if revision is not None and revision not in schema.known:
                return revision
            await _create_indexes(conn)
            await _migrate(dsn, roles=roles)
            await _make_views(conn)
            await _drop_indexes(conn)
            return schema.head
        finally:
            await conn.close(timeout=CONNECT_TIMEOUT_S)


async def _migrate(dsn: str, *, roles: bool) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args={"dsn": dsn, "timeout": 5},
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"set local lock_timeout = '{LOCK_TIMEOUT}'"))
            if roles:
                await connection.exec_driver_sql(roles_script())
            await connection.exec_driver_sql(_ACT_AS_OWNER)
            await connection.run_sync(_upgrade)
            await connection.exec_driver_sql(_ACT_AS_ONESELF)
            await connection.exec_driver_sql(_CREATE_PUBLISHERS)
            await connection.exec_driver_sql(_script("grants"))
    finally:
        await engine.dispose()


async def _make_views(conn: Connection) -> None:
    """In a transaction of their own: who waits for a report to end holds up no publisher meanwhile."""
    try:
        async with conn.transaction():
            await conn.execute(f"set local lock_timeout = '{VIEWS_LOCK_TIMEOUT}'")
            await conn.execute(_ACT_AS_OWNER)
            await conn.execute(_script("stripe_views"))
            await conn.execute(_ACT_AS_ONESELF)
            await conn.execute(_script("grants"))
    except asyncpg.LockNotAvailableError as error:
        raise Unavailable(
            f"the schema is at {head()}, but somebody reads a view of the schema stripe that is to be"
            " replaced: run 'postroom migrate' again once that query has ended"
        ) from error
