"""The schema that this code needs, and the one that is there: without Alembic, which costs every process that
starts a third of its time, and only who migrates needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import asyncpg

from postroom.base.db import Connection, query
from postroom.base.version import PACKAGE

_FETCH_REVISION = query(__package__, "fetch_revision")


def migrations_folder() -> Path:
    installed = PACKAGE / "_migrations"
    return installed if installed.is_dir() else PACKAGE.parent / "migrations"


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
    """By the names of the migrations' files, which begin with their revisions, and follow each other so."""
    revisions = [path.name.partition("_")[0] for path in migrations_folder().glob("versions/[0-9]*.py")]
    if not revisions:
        raise RuntimeError("this installation lacks its migrations folder")
    return Schema(max(revisions), frozenset(revisions))


def head() -> str:
    """The revision this code needs."""
    return read_schema().head


async def fetch_revision(conn: Connection) -> str | None:
    """The revision of the database's schema; None where there is none.

    Transaction: none is open; a missing schema would end it.
    """
    try:
        revision: str | None = await conn.fetchval(_FETCH_REVISION)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return None
    return revision
