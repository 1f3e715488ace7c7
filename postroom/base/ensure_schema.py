"""What a process does about the schema when it starts."""

from __future__ import annotations

from contextlib import suppress

import asyncpg

from postroom.base.db import CONNECT_TIMEOUT_S
from postroom.base.errors import Unavailable
from postroom.base.schema import fetch_revision, read_schema


async def ensure_schema(dsn: str, *, prod: bool) -> None:
    """Make sure that this code can work on the schema: migrate in dev, only look in prod.

    A schema newer than the code is fine (a rolling deploy). A role that may not migrate only looks.
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
    if not prod:
        from postroom.base.migrate import migrate

        with suppress(asyncpg.InsufficientPrivilegeError):
            await migrate(dsn)
            return
    raise Unavailable(f"{fault}: run 'postroom migrate'")
