"""Dead letters as the console reads them: groups by stepping along an index, pages by bounded looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from postroom.base.bounded_page import BoundedPage, looked
from postroom.base.db import Connection, Record, plan_for_values, query
from postroom.outbox.ledger.message_pages import every_channel
from postroom.outbox.ledger.replay import LetterFilter

GROUPS_MAX: Final = 100
GROUPED_MAX: Final = 100_000
SCAN_MAX: Final = 2_000
DRY_RUN_SCAN_MAX: Final = 20_000
RECEIVERS_SHOWN_MAX: Final = 12

_GROUPS = query(__package__, "list_letter_groups")
_LETTERS = query(__package__, "list_letters")
_BY_FINGERPRINT = query(__package__, "list_letters_by_fingerprint")
_BY_DESTINATION = query(__package__, "list_letters_by_destination")
_DRY_RUN = query(__package__, "fetch_dry_run")
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
) -> BoundedPage:
    """Newest first, of the newest `SCAN_MAX` of each channel that may fit.

    Transaction: the caller's; from here on it plans each statement for its very values.
    """
    await plan_for_values(conn)
    narrow = any((wanted.cause, wanted.tenant, wanted.destination, wanted.fingerprint))
    terms = (
        every_channel(wanted.channel), wanted.cause, wanted.tenant, wanted.destination,
        *(after or (None, None, None)), SCAN_MAX if narrow else limit + 1, limit + 1,
    )  # fmt: skip
    if wanted.fingerprint:
        rows = await conn.fetch(_BY_FINGERPRINT, *terms, wanted.fingerprint)
    elif wanted.destination:
        rows = await conn.fetch(_BY_DESTINATION, *terms, None)
    else:
        rows = await conn.fetch(_LETTERS, *terms)
    return looked(rows, ("died_at", "message_id", "n"), limit=limit)


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a replay would take. `capped`: of the first `DRY_RUN_SCAN_MAX` letters only; there may be more.

    `rows`: the receivers with the most letters, with what stands in the way; at most `RECEIVERS_SHOWN_MAX`.
    """

    letters: int
    receivers: int
    capped: bool
    rows: list[Record]


async def fetch_dry_run(conn: Connection, letters: LetterFilter) -> DryRun:
    """How many, to whom, and whether anything stands in the way; touches nothing.

    Transaction: the caller's; from here on it plans each statement for its very values.
    """
    await plan_for_values(conn)
    rows = await conn.fetch(_DRY_RUN, *letters.parameters(), DRY_RUN_SCAN_MAX, RECEIVERS_SHOWN_MAX)
    found = [row for row in rows if row["channel"]]
    total, receivers = (found[0]["total"], found[0]["receivers"]) if found else (0, 0)
    return DryRun(total, receivers, rows[0]["scanned"] >= DRY_RUN_SCAN_MAX, found)


async def count_of_endpoints(conn: Connection, endpoint_ids: Sequence[UUID], *, cap: int) -> dict[str, int]:
    """Dead letters by endpoint, each counted up to `cap`."""
    rows = await conn.fetch(_OF_ENDPOINTS, [str(each) for each in endpoint_ids], cap)
    return {row["name"]: row["count"] for row in rows}
