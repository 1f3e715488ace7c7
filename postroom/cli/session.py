"""What a command works with: settings, one connection, and who is at the keyboard."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from postroom.base.db import Connection, connect
from postroom.base.settings import Settings, load_settings
from postroom.postgres.resolve import ResolvedDatabase, resolve

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """One command's connection. `actor` is how the audit trail names this person."""

    settings: Settings
    dsn: str
    conn: Connection
    actor: str

    @asynccontextmanager
    async def change(self) -> AsyncIterator[Connection]:
        """One transaction for a change and its audit row."""
        async with self.conn.transaction():
            yield self.conn


def actor() -> str:
    """`cli:<os user>`, by the user id of this process: an environment variable could say anything."""
    user_id = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(user_id).pw_name}"
    except KeyError:
        return f"cli:{user_id}"


def open_database(settings: Settings) -> ResolvedDatabase:
    """The database that was named, the local one that runs, or one started for this command."""
    url = settings.database_url.get_secret_value() if settings.database_url else None
    return resolve(database_url=url, state_dir=settings.state_dir)


def in_session(work: Callable[[Session], Awaitable[T]]) -> T:
    """Find the database, connect, do the work, disconnect. Errors: what these raise."""
    settings = load_settings()
    with open_database(settings) as database:
        return asyncio.run(_work(settings, database.dsn, work))


async def _work(settings: Settings, dsn: str, work: Callable[[Session], Awaitable[T]]) -> T:
    conn = await connect(dsn, application="postroom cli", pooler=settings.database_pooler)
    try:
        return await work(Session(settings, dsn, conn, actor()))
    finally:
        await conn.close()
