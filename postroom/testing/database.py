"""Which database the tests of an application publish in, and that Postroom is in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import asyncpg

from postroom.base.db import CONNECT_TIMEOUT_S, query

_LAST_MESSAGE: Final = query(__package__, "last_message")
NONE_YET: Final = "00000000-0000-0000-0000-000000000000"


@contextmanager
def embedded(folder: Path) -> Iterator[str]:
    """A PostgreSQL of its own, for as long as the tests run. Returns: its URL."""
    from postroom.postgres.server import LocalPostgres

    with LocalPostgres(folder) as server:
        yield server.dsn


def url_of(settings: dict[str, Any]) -> str:
    """The URL of one of Django's `DATABASES`."""
    user, password = (quote(settings.get(each) or "", safe="") for each in ("USER", "PASSWORD"))
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    places = {"host": settings.get("HOST"), "port": settings.get("PORT")}
    asked = urlencode({name: value for name, value in places.items() if value})
    return f"postgresql://{login}/{quote(settings['NAME'], safe='')}?{asked}"


async def prepare(dsn: str) -> str:
    """Bring Postroom's schema into this database. Returns: its URL."""
    try:
        from postroom.base.migrate import migrate
    except ImportError as error:
        raise RuntimeError("the fixture `postroom` needs: pip install 'postroom[testing]'") from error
    await migrate(dsn)
    return dsn


async def last_message(dsn: str) -> str:
    """The newest one that is committed: of other tests."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        return await connection.fetchval(_LAST_MESSAGE) or NONE_YET
    finally:
        await connection.close()
