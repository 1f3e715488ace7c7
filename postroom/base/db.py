"""PostgreSQL: the pool, and the SQL files beside each store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from postroom.base.connecting import connect_first
from postroom.base.known_types import KnownTypes

if TYPE_CHECKING:
    Record: TypeAlias = asyncpg.Record
    Connection: TypeAlias = asyncpg.Connection[Any] | PoolConnectionProxy[Any]
    Pool: TypeAlias = asyncpg.Pool[Any]
else:
    Record = asyncpg.Record
    Connection = asyncpg.Connection | PoolConnectionProxy
    Pool = asyncpg.Pool
Dsn: TypeAlias = str | Callable[[], str]
"""Where the database is, and who signs in. A callable is asked for each connection: logins change."""
Transactions: TypeAlias = Callable[[], AbstractAsyncContextManager[Connection]]
"""What opens a transaction: for work that needs several, one after the other."""

_PLANNED = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""Every statement of ours has an index, and reads it in its order. Of a queue that was just empty PostgreSQL
believes that reading it whole, or all that is due, is cheaper, and does so for each batch: drains went at a
sixth of their rate for a while. And each is planned once a session: PostgreSQL planned every claim anew,
which took longer than a small one. Behind PgBouncer settings of the role or the database hold instead."""
CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 30.0

DATABASE_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    # What asyncpg says when the server ended the session between two statements.
    asyncpg.InternalClientError,
)
"""What asyncpg raises while the database restarts, fails over or cannot be reached."""

DATABASE_BUSY = (
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,
    asyncpg.UndefinedTableError,
    asyncpg.InvalidSchemaNameError,
)
"""What it raises while the database answers but cannot do this now: overloaded, full, not migrated yet."""

DATABASE_REFUSALS = (asyncpg.DataError,)
"""What it raises for a value that it cannot keep: nothing was written, and to try again changes nothing."""

DATABASE_FAILURES = (*DATABASE_AWAY, asyncpg.PostgresError)
"""Every way in which a statement fails. Whether a commit was done is then not known."""


def query(package: str, name: str) -> str:
    """The text of `queries/<name>.sql` in `package`."""
    return resources.files(package).joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")


_PLAN_FOR_VALUES = query(__package__, "plan_for_values")
_PLAN_BY_BLOCKS = query(__package__, "plan_by_blocks")


async def plan_for_values(conn: Connection) -> None:
    """Before a statement that may filter by anything: plan it for what is really asked, along an index.

    Transaction: the caller's, and until its end; without one it does nothing.
    """
    await conn.execute(_PLAN_FOR_VALUES)


async def plan_by_blocks(conn: Connection) -> None:
    """Before a statement that finds messages by their transaction: their index can only be read so.

    Transaction: the caller's, and until its end; without one it does nothing.
    """
    await conn.execute(_PLAN_BY_BLOCKS)


async def open_pool(
    dsn: Dsn, *, connections_max: int = 10, application: str = "postroom", pooler: bool = False
) -> Pool:
    """Open a pool; the caller closes it. Connects at first use, so it opens while the database is away.

    `pooler`: PgBouncer in transaction mode stands between; statements are then not
    prepared under a name, which costs a parse a call.
    Errors: one of `DATABASE_AWAY` when the server cannot be reached within 5 s.
    """
    # Typed for a text alone, it hands on to `connect` what it is given.
    opening: Callable[..., Awaitable[Pool]] = asyncpg.create_pool
    return await opening(
        dsn,
        connect=_connect,
        connection_class=KnownTypes,
        min_size=0,
        max_size=connections_max,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        statement_cache_size=0 if pooler else 256,
        server_settings={} if pooler else {"application_name": application, **_PLANNED},
        reset=_keep,
    )


async def _connect(dsn: Dsn, **options: Any) -> asyncpg.Connection[Any]:
    return await connect_first(dsn if isinstance(dsn, str) else dsn(), **options)


async def _keep(_conn: Connection) -> None:
    """Given back, a connection is used as it is: an open transaction has been rolled back by then.

    Nothing of ours outlives a transaction (settings and advisory locks end with it, listeners have
    connections of their own), so the usual RESET ALL would be a way there and back for nothing.
    """


async def connect(
    dsn: Dsn, *, application: str = "postroom", pooler: bool = False
) -> asyncpg.Connection[Any]:
    """Open one connection outside any pool, for what is kept per session (LISTEN)."""
    return await _connect(
        dsn,
        connection_class=KnownTypes,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        statement_cache_size=0 if pooler else 256,
        server_settings={} if pooler else {"application_name": application},
    )


async def fetch_one(conn: Connection, statement: str, *values: Any, timeout_s: float | None = None) -> Record:
    """The row of a statement that always gives one. Errors: `RuntimeError` when it gives none."""
    row: Record | None = await conn.fetchrow(statement, *values, timeout=timeout_s)
    if row is None:
        raise RuntimeError(f"a statement that always gives a row gave none: {statement[:80]}")
    return row


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """One connection, one transaction: committed on leaving, rolled back on an error."""
    async with pool.acquire() as conn, conn.transaction():
        yield conn
