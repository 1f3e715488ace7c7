"""Every connection that can publish, as an application holds it in the midst of its transaction."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras
from psycopg.rows import dict_row
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from tests.fixtures.django import django_on


async def done(value: Any) -> Any:
    """What a sync driver returned, or what an async one does in the end."""
    return await value if inspect.isawaitable(value) else value


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection, and how its application works with it."""

    connection: Any
    execute: Callable[[str], Any]
    commit: Callable[[], Any]
    rollback: Callable[[], Any]
    close: Callable[[], Any]


def plain(connection: Any, execute: Callable[[str], Any] | None = None) -> Opened:
    return Opened(
        connection, execute or connection.execute, connection.commit, connection.rollback, connection.close
    )


@asynccontextmanager
async def with_asyncpg(dsn: str, *, autocommit: bool = False) -> AsyncIterator[Opened]:
    connection = await asyncpg.connect(dsn)
    work = connection.transaction()
    if not autocommit:
        await work.start()
    try:
        yield Opened(connection, connection.execute, work.commit, work.rollback, connection.close)
    finally:
        await connection.close()


@asynccontextmanager
async def with_asyncpg_pool(dsn: str, *, autocommit: bool = False) -> AsyncIterator[Opened]:
    async with asyncpg.create_pool(dsn, min_size=0) as pool, pool.acquire() as connection:
        work = connection.transaction()
        if not autocommit:
            await work.start()

        async def close() -> None:
            await pool.release(connection)

        yield Opened(connection, connection.execute, work.commit, work.rollback, close)


@asynccontextmanager
async def with_psycopg(dsn: str, *, autocommit: bool = False) -> AsyncIterator[Opened]:
    connection = psycopg.connect(dsn, row_factory=dict_row, autocommit=autocommit)
    try:
        yield plain(connection)
    finally:
        connection.close()


@asynccontextmanager
async def with_psycopg_raw(dsn: str, *, autocommit: bool = False) -> AsyncIterator[Opened]:
    connection = psycopg.connect(dsn, cursor_factory=psycopg.RawCursor, autocommit=autocommit)
    try:
        yield plain(connection)
    finally:
        connection.close()


@asynccontextmanager
async def with_psycopg_async(dsn: str, *, autocommit: bool = False) -> AsyncIterator[Opened]:
    connection = await psycopg.AsyncConnection.connect(dsn, row_factory=dict_row, autocommit=autocommit)
    try:
        yield plain(connection)
    finally:
        await connection.close()


async def _psycopg2(dsn: str, autocommit: bool, cursors: Any) -> AsyncIterator[Opened]:
    connection = psycopg2.connect(dsn, cursor_factory=cursors)
    connection.autocommit = autocommit
    try:
        yield plain(connection, lambda sql: connection.cursor().execute(sql))
    finally:
        connection.close()


@asynccontextmanager
async def with_psycopg2(dsn: str, *, autocommit: bool = False) -> AsyncIterator[Opened]:
    async for opened in _psycopg2(dsn, autocommit, None):
        yield opened


@asynccontextmanager
async def with_psycopg2_dicts(dsn: str, *, autocommit: bool = False) -> AsyncIterator[Opened]:
    async for opened in _psycopg2(dsn, autocommit, psycopg2.extras.RealDictCursor):
        yield opened


def _url(dsn: str, driver: str) -> str:
    return dsn.replace("postgresql://", f"postgresql+{driver}://")


def sqlalchemy_case(driver: str, of: Callable[[Any], Any]) -> Callable[..., Any]:
    """`of` makes the connection or the session from an engine."""

    @asynccontextmanager
    async def case(dsn: str, *, autocommit: bool = False) -> AsyncIterator[Opened]:
        options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
        engine = create_engine(_url(dsn, driver), **options)
        connection = of(engine)
        inner = connection.connection() if hasattr(connection, "flush") else connection
        try:
            yield plain(connection, inner.exec_driver_sql)
        finally:
            connection.close()
            engine.dispose()

    return case


def sqlalchemy_async_case(driver: str, of: Callable[[Any], Any]) -> Callable[..., Any]:
    @asynccontextmanager
    async def case(dsn: str, *, autocommit: bool = False) -> AsyncIterator[Opened]:
        options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
        engine = create_async_engine(_url(dsn, driver), **options)
        connection = of(engine)
        inner = await connection.connection() if hasattr(connection, "flush") else await connection.start()
        try:
            yield plain(connection, inner.exec_driver_sql)
        finally:
            await connection.close()
            await engine.dispose()

    return case


@asynccontextmanager
async def with_django(dsn: str, *, autocommit: bool = False) -> AsyncIterator[Opened]:
    with django_on(dsn) as connection:
        from django.db import transaction

        def ended(error: type[Exception] | None) -> None:
            with suppress(transaction.TransactionManagementError):
                block.__exit__(error, error and error(), None)

        block = transaction.atomic()
        if not autocommit:
            block.__enter__()

        def execute(sql: str) -> None:
            connection.cursor().execute(sql)

        try:
            yield Opened(
                connection, execute, lambda: ended(None), lambda: ended(RuntimeError), connection.close
            )
        finally:
            if connection.in_atomic_block:
                ended(RuntimeError)


Case = Callable[..., AbstractAsyncContextManager[Opened]]

DRIVERS: Final[dict[str, Case]] = {
    "asyncpg": with_asyncpg,
    "asyncpg-pool": with_asyncpg_pool,
    "psycopg": with_psycopg,
    "psycopg-raw": with_psycopg_raw,
    "psycopg-async": with_psycopg_async,
    "psycopg2": with_psycopg2,
    "psycopg2-dicts": with_psycopg2_dicts,
    "sqlalchemy-psycopg": sqlalchemy_case("psycopg", lambda engine: engine.connect()),
    "sqlalchemy-psycopg2": sqlalchemy_case("psycopg2", lambda engine: engine.connect()),
    "sqlalchemy-session": sqlalchemy_case("psycopg", Session),
    "sqlalchemy-scoped": sqlalchemy_case("psycopg2", lambda engine: scoped_session(sessionmaker(engine))),
    "sqlalchemy-async-psycopg": sqlalchemy_async_case("psycopg", lambda engine: engine.connect()),
    "sqlalchemy-async-asyncpg": sqlalchemy_async_case("asyncpg", lambda engine: engine.connect()),
    "sqlalchemy-async-session": sqlalchemy_async_case("asyncpg", AsyncSession),
    "sqlalchemy-async-scoped": sqlalchemy_async_case(
        "psycopg", lambda engine: async_scoped_session(async_sessionmaker(engine), scopefunc=lambda: 1)
    ),
    "django": with_django,
}
REOPEN: Final = [case for name, case in DRIVERS.items() if name.endswith(("session", "scoped"))]
"""Sessions of SQLAlchemy begin a new transaction when they are used after `close`."""
