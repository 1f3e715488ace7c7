"""The connections that can publish, known by the names of their classes: no driver is imported."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeAlias

import asyncpg

from postroom.base.errors import PublishRefused
from postroom.client.refusal import CLOSED, FAILED

Values: TypeAlias = tuple[str | None, ...]
IDLE: Final = 0
"""libpq's PQTRANS_IDLE, as psycopg2 and psycopg tell it: no transaction."""


def driver_of(connection: Any) -> Callable[[Any, str, Values], Any]:
    """What runs a statement on this connection; the first column of each row, or a coroutine of it.

    Errors: `PublishRefused` where this is no connection that can publish.
    """
    own: type = connection.__class__  # a proxy says whose place it takes
    for each in own.__mro__:
        found = _DRIVERS.get((each.__module__.partition(".")[0], each.__name__))
        if found is not None:
            return found
    raise PublishRefused(
        f"cannot publish with {own.__module__}.{own.__qualname__}: pass the connection or session of your "
        "transaction (asyncpg, psycopg, psycopg2, SQLAlchemy, Django), not a pool, an engine or a cursor"
    )


def is_async(driver: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(driver)


def _check(*, closed: bool, failed: bool = False, alone: bool, begin: str) -> None:
    if closed:
        raise PublishRefused(CLOSED)
    if failed:
        raise PublishRefused(FAILED)
    if alone:
        raise PublishRefused(
            "the connection is in no transaction, so the message would be committed by itself, whatever "
            f"becomes of your own work: {begin}"
        )


@cache
def _formatted(statement: str) -> str:
    """With %s for each parameter, which the statements name once each and in order."""
    return re.sub(r"\$\d+", "%s", re.sub(r"^--.*\n", "", statement, flags=re.MULTILINE))


async def _asyncpg(connection: Any, statement: str, values: Values) -> list[str]:
    try:
        closed = connection.is_closed()
    except asyncpg.InterfaceError:  # it was given back to its pool
        closed = True
    begin = "publish within `async with connection.transaction()`"
    _check(closed=closed, alone=not closed and not connection.is_in_transaction(), begin=begin)
    return [row[0] for row in await connection.fetch(statement, *values)]


def _check_libpq(connection: Any, begin: str) -> None:
    closed = bool(connection.closed)
    alone = not closed and connection.autocommit and connection.info.transaction_status == IDLE
    _check(closed=closed, alone=alone, begin=begin)


def _psycopg_cursor(connection: Any, statement: str) -> tuple[Any, str]:
    """A cursor whose rows are tuples, whatever the connection makes of rows, and the statement for it."""
    _check_libpq(connection, "publish within `with connection.transaction()`")
    cursor = connection.cursor(row_factory=lambda _: tuple)
    raw = any(each.__name__ == "RawCursorMixin" for each in type(cursor).__mro__)
    return cursor, statement if raw else _formatted(statement)


def _psycopg(connection: Any, statement: str, values: Values) -> list[str]:
    cursor, statement = _psycopg_cursor(connection, statement)
    with cursor:
        return [row[0] for row in cursor.execute(statement, values).fetchall()]


async def _psycopg_async(connection: Any, statement: str, values: Values) -> list[str]:
    cursor, statement = _psycopg_cursor(connection, statement)
    async with cursor:
        await cursor.execute(statement, values)
        return [row[0] for row in await cursor.fetchall()]


def _psycopg2(connection: Any, statement: str, values: Values) -> list[str]:
    _check_libpq(connection, "set `connection.autocommit = False`")
    with connection.cursor() as cursor:
        cursor.execute(_formatted(statement), values)
        return [row["id"] if isinstance(row, dict) else row[0] for row in cursor.fetchall()]


def _django(connection: Any, statement: str, values: Values) -> list[str]:
    _check_dialect(connection.vendor)
    closed = connection.closed_in_transaction
    failed = connection.needs_rollback
    alone = not closed and not failed and connection.get_autocommit()
    _check(closed=closed, failed=failed, alone=alone, begin="publish within `with transaction.atomic()`")
    with connection.cursor() as cursor:
        cursor.execute(_formatted(statement), values)
        return [row[0] for row in cursor.fetchall()]


def _sqlalchemy(connection: Any, statement: str, values: Values) -> list[str]:
    _check_dialect(connection.dialect.name)
    closed = connection.closed or connection.invalidated
    alone = not closed and connection.connection.dbapi_connection.autocommit
    _check(closed=closed, alone=alone, begin="publish on a connection without isolation_level AUTOCOMMIT")
    numbered = connection.dialect.paramstyle == "numeric_dollar"
    return list(
        connection.exec_driver_sql(statement if numbered else _formatted(statement), values).scalars()
    )


def _session(session: Any, statement: str, values: Values) -> list[str]:
    _check(closed=False, failed=not session.is_active, alone=False, begin="")
    return _sqlalchemy(session.connection(), statement, values)


async def _sqlalchemy_async(connection: Any, statement: str, values: Values) -> Any:
    return await connection.run_sync(_sqlalchemy, statement, values)


async def _session_async(session: Any, statement: str, values: Values) -> Any:
    return await session.run_sync(_session, statement, values)


def _scoped(registry: Any, statement: str, values: Values) -> list[str]:
    return _session(registry(), statement, values)


async def _scoped_async(registry: Any, statement: str, values: Values) -> Any:
    return await _session_async(registry(), statement, values)


def _check_dialect(name: str) -> None:
    if name != "postgresql":
        raise PublishRefused(f"publishing needs PostgreSQL; this is a connection to {name}")


_DRIVERS: Final[dict[tuple[str, str], Callable[[Any, str, Values], Any]]] = {
    ("asyncpg", "Connection"): _asyncpg,
    ("asyncpg", "PoolConnectionProxy"): _asyncpg,
    ("psycopg", "Connection"): _psycopg,
    ("psycopg", "AsyncConnection"): _psycopg_async,
    ("psycopg2", "connection"): _psycopg2,
    ("sqlalchemy", "Connection"): _sqlalchemy,
    ("sqlalchemy", "Session"): _session,
    ("sqlalchemy", "scoped_session"): _scoped,
    ("sqlalchemy", "AsyncConnection"): _sqlalchemy_async,
    ("sqlalchemy", "AsyncSession"): _session_async,
    ("sqlalchemy", "async_scoped_session"): _scoped_async,
    ("django", "ConnectionProxy"): _django,
    ("django", "BaseDatabaseWrapper"): _django,
}
