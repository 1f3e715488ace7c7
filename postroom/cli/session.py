"""What a command works with: settings, one connection, and who is at the keyboard."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from postroom.admin.audit import Actor
from postroom.admin.tokens import Scope
from postroom.base.db import Connection, connect
from postroom.base.errors import InvalidInput
from postroom.base.secret_rules import DATABASE_URL
from postroom.base.settings import Settings, load_settings
from postroom.encryption.keyring import Keyring, keyring_of
from postroom.postgres.resolve import ResolvedDatabase, resolve

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """One command's connection. `actor`: whoever may start it may do everything."""

    settings: Settings
    dsn: str
    conn: Connection
    actor: Actor

    @property
    def keyring(self) -> Keyring:
        return keyring_of(self.settings.encryption)

    @asynccontextmanager
    async def change(self) -> AsyncIterator[Connection]:
        """One transaction for a change and its audit row."""
        async with self.conn.transaction():
            yield self.conn


def actor() -> Actor:
    """`cli:<os user>`, by the user id of this process: an environment variable could say anything."""
    user_id = os.getuid()
    try:
        name = pwd.getpwuid(user_id).pw_name
    except KeyError:
        name = str(user_id)
    return Actor(f"cli:{name}", scopes=frozenset(Scope))


def open_database(settings: Settings) -> ResolvedDatabase:
    """The database that was named, the local one that runs, or one started for this command.

    Errors: `InvalidInput` where there are several ledgers and none was chosen.
    """
    if settings.ledgers:
        known = ", ".join(settings.ledgers)
        raise InvalidInput(f"which ledger? postroom --ledger NAME …, or POSTROOM_LEDGER; known: {known}")
    url = settings.database_url.get_secret_value() if settings.database_url else None
    return resolve(database_url=url, state_dir=settings.state_dir)


def each_ledger(settings: Settings) -> list[Settings]:
    """The settings of each of several ledgers, for what is done to all of them; else these."""
    return [settings.of_ledger(name) for name in settings.ledgers] or [settings]


@contextmanager
def told_to_children(settings: Settings) -> Iterator[dict[str, str]]:
    """The environment of processes of ours: a local server is opened once, by whoever starts them."""
    if settings.ledgers:
        yield {}
        return
    with open_database(settings) as database:
        yield {} if database.origin == "given" else {DATABASE_URL: database.dsn}


def in_session(
    work: Callable[[Session], Awaitable[T]], settings: Settings | None = None, *, serves: bool = True
) -> T:
    """Find the database, connect, do the work, disconnect. `serves`: see `Settings`.

    `settings`: as somebody has read them already. Errors: what these raise.
    """
    settings = settings or load_settings(serves=serves)
    with open_database(settings) as database:
        return asyncio.run(_work(settings, database.dsn, work))


def in_transaction(action: Callable[[Session], Awaitable[T]], settings: Settings | None = None) -> T:
    """The same for one action, in one transaction with its audit row."""

    async def work(session: Session) -> T:
        async with session.change():
            return await action(session)

    return in_session(work, settings)


async def _work(settings: Settings, dsn: str, work: Callable[[Session], Awaitable[T]]) -> T:
    conn = await connect(dsn, application="postroom cli", pooler=settings.database_pooler)
    try:
        return await work(Session(settings, dsn, conn, actor()))
    finally:
        await conn.close()
