"""Make and drop databases on a server, for tests that copy a template."""

from __future__ import annotations

import re

import asyncpg

from postroom.postgres.errors import PostgresError
from postroom.postgres.state import with_database

CONNECT_S = 10.0
COMMAND_S = 60.0
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


async def create_database(dsn: str, name: str, *, template: str | None = None) -> None:
    """Make a database on the server of `dsn`, as a copy of `template` if given.

    Errors: `PostgresError` for a name that is not plain; asyncpg's own (`DuplicateDatabaseError`,
    `ObjectInUseError` when the template has sessions).
    """
    copied = f" template {_quoted(template)}" if template else ""
    await _execute(dsn, f"create database {_quoted(name)}{copied}")


async def drop_database(dsn: str, name: str) -> None:
    """Drop a database if it exists, and end the sessions in it."""
    await _execute(dsn, f"drop database if exists {_quoted(name)} with (force)")


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(with_database(dsn, "postgres"), timeout=CONNECT_S)
    try:
        await connection.execute(statement, timeout=COMMAND_S)
    finally:
        await connection.close(timeout=CONNECT_S)


def _quoted(name: str) -> str:
    if not NAME.fullmatch(name):
        raise PostgresError(
            f"{name!r} is no plain database name: lower case letters, digits and '_', at most 63"
        )
    return f'"{name}"'
