"""Migrations: bring the schema to what this code needs, and say what is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
from postroom.base.version import PACKAGE

_FETCH_REVISION = query(__package__, "fetch_revision")
_GRANT_PUBLISHER = query(__package__, "grant_publisher")

LOCK = 7_265_001
LOCK_TIMEOUT = "60s"


def _folder() -> Path:
    installed = PACKAGE / "_migrations"
    return installed if installed.is_dir() else PACKAGE.parent / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_folder()))
    return config


def head() -> str:
    """The revision this code needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise RuntimeError("this installation lacks its migrations folder")
    return revision


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema that this code works on."""

    head: str
    known: frozenset[str]

    def fault(self, revision: str | None) -> str | None:
        """What keeps this code from working on a database at `revision`; None: nothing.

        A database that is ahead of the code is fine: a rolling deploy.
        """
        if revision is None:
            return "the schema is missing"
        if revision != self.head and revision in self.known:
            return f"schema at {revision}, code at {self.head}"
        return None


def read_schema() -> Schema:
    """Read from the migration files, so ask once and keep it."""
    revisions = ScriptDirectory.from_config(_config()).walk_revisions()
    return Schema(head(), frozenset(each.revision for each in revisions))


async def fetch_revision(conn: Connection) -> str | None:
    """The revision of the database's schema; None where there is none.

    Transaction: none is open; a missing schema would end it.
    """
    try:
        revision: str | None = await conn.fetchval(_FETCH_REVISION)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return None
    return revision


def run_files(*names: str) -> None:
    """For a migration: run files of `migrations/sql`, by name, in its transaction.

    Errors: what the driver raises.
    """
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise RuntimeError("migrations need an open connection")
    for name in names:
        script = (_folder() / "sql" / f"{name}.sql").read_text(encoding="utf-8")
        await_only(driver.execute(script))


def _upgrade(connection: SyncConnection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    connection.execute(text("create schema if not exists postroom"))
    command.upgrade(config, "head")


async def migrate(dsn: str) -> None:
    """Upgrade to `head` in one transaction; several callers at once follow each other.

    A role `postroom_publisher` that was made since the last time may publish from then on.
    Errors: what the driver raises; nothing is changed then.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args={"dsn": dsn, "timeout": 5},
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"set local lock_timeout = '{LOCK_TIMEOUT}'"))
            await connection.execute(text(f"select pg_advisory_xact_lock({LOCK})"))
            await connection.run_sync(_upgrade)
            await connection.exec_driver_sql(_GRANT_PUBLISHER)
    finally:
        await engine.dispose()


async def ensure_schema(dsn: str, *, prod: bool) -> None:
    """Make sure that this code can work on the schema: migrate in dev, only look in prod.

    A schema newer than the code is fine (a rolling deploy).
    Errors: `Unavailable` with the command that mends it; what the driver raises while the database is away.
    """
    conn = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        revision = await fetch_revision(conn)
    finally:
        await conn.close(timeout=CONNECT_TIMEOUT_S)
    fault = read_schema().fault(revision)
    if fault is None:
        return
    if prod:
        raise Unavailable(f"{fault}: run 'postroom migrate'")
    await migrate(dsn)
