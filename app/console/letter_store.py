"""Dead letters as the console reads them: groups by stepping along an index, pages by bounded looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app.base.db import Connection, Record, query
from app.console.ledger_store import every_channel
from app.outbox.replay import LetterFilter

GROUPS_MAX: Final = 100
GROUPED_MAX: Final = 100_000
LOOKED_MAX: Final = 5_000
RECEIVERS_COUNTED_MAX: Final = 20_000
RECEIVERS_SHOWN_MAX: Final = 12

_GROUPS = query(__package__, "list_letter_groups")
_LETTERS = query(__package__, "list_letters")
_BY_FINGERPRINT = query(__package__, "list_letters_by_fingerprint")
_BY_DESTINATION = query(__package__, "list_letters_by_destination")
_RECEIVERS = query(__package__, "count_receivers")
_OF_ENDPOINTS = query(__package__, "count_endpoint_letters")

Position = tuple[datetime, UUID, int]


@dataclass(frozen=True, slots=True)
class LetterPage:
    """Which dead letters a page shows; None means any."""

    channel: str | None = None
    cause: str | None = None
    fingerprint: str | None = None
    tenant: str | None = None
    destination: str | None = None


async def list_groups(conn: Connection, *, channel: str | None, cause: str | None) -> list[Record]:
    """Faults, the most frequent first; each counted up to its `counted_max`."""
    return list(await conn.fetch(_GROUPS, channel, cause, GROUPS_MAX, GROUPED_MAX))


async def list_letters(
    conn: Connection, wanted: LetterPage, *, after: Position | None, limit: int
) -> list[Record]:
    """Newest first."""
    narrow = any((wanted.cause, wanted.tenant, wanted.destination, wanted.fingerprint))
    terms = (
        every_channel(wanted.channel), wanted.cause, wanted.tenant, wanted.destination,
        *(after or (None, None, None)), LOOKED_MAX if narrow else limit, limit,
    )  # fmt: skip
    if wanted.fingerprint:
        return list(await conn.fetch(_BY_FINGERPRINT, *terms, wanted.fingerprint))
    if wanted.destination:
        return list(await conn.fetch(_BY_DESTINATION, *terms, None))
    return list(await conn.fetch(_LETTERS, *terms))


async def count_receivers(conn: Connection, letters: LetterFilter) -> list[Record]:
    """Who would get the letters, the most first, and whether anything stands in the way."""
    return list(
        await conn.fetch(_RECEIVERS, *letters.parameters(), RECEIVERS_COUNTED_MAX, RECEIVERS_SHOWN_MAX)
    )


async def count_of_endpoints(conn: Connection, endpoint_ids: Sequence[UUID], *, cap: int) -> dict[str, int]:
    """Dead letters by endpoint, each counted up to `cap`."""
    rows = await conn.fetch(_OF_ENDPOINTS, [str(each) for each in endpoint_ids], cap)
    return {row["name"]: row["count"] for row in rows}
