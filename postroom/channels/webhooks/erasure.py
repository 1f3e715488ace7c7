"""What endpoints hold of one person. The caller owns the transaction."""

from __future__ import annotations

from uuid import UUID

from postroom.base.db import Connection, query

_ERASE_TEXTS = query(__package__, "erase_texts")
_LIST_HOLDING = query(__package__, "list_holding")


async def erase_texts(conn: Connection, pattern: str, *, listed_max: int) -> list[UUID]:
    """Take the address out of descriptions and reasons.

    Returns: the endpoints whose url or tenant holds it, at most `listed_max`. Those are left alone: another
    url would deliver elsewhere, another tenant to nobody.
    """
    await conn.execute(_ERASE_TEXTS, pattern)
    return [row["id"] for row in await conn.fetch(_LIST_HOLDING, pattern, listed_max)]
