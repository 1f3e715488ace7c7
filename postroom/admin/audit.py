"""The audit trail: who changed what, written with the change itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from postroom.base import json
from postroom.base.bounded_page import BoundedPage, as_kind, bounded_page
from postroom.base.cursor import decode_cursor
from postroom.base.db import Connection, Record, Transactions, query
from postroom.outbox.reach import EVERYTHING, Reach

_INSERT = query(__package__, "insert_audit")
_TRAIL = query(__package__, "list_trail")
_ENTRIES = query(__package__, "list_entries")
_PRUNE = query(__package__, "prune_audit")
_ERASE = query(__package__, "erase_from_audit")

TRAIL_SCAN_MAX: Final = 10_000
SUBJECT_LENGTH_MAX: Final = 500
EXPORT_PAGE: Final = 1_000
ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: how the trail names them, what they may do, in which request, with which token.

    `reach`: whose messages they see and touch, on which channels.
    """

    name: str
    scopes: frozenset[str] = frozenset()
    request_id: str | None = None
    token_id: UUID | None = None
    reach: Reach = EVERYTHING


@dataclass(frozen=True, slots=True)
class AuditEntry:
    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    request_id: str | None
    token_id: UUID | None


async def record(
    conn: Connection, actor: Actor, action: str, subject: object = "", /, **detail: object
) -> None:
    """Write one entry. Transaction: the caller's, so that no change is without its entry."""
    shown = str(subject)[:SUBJECT_LENGTH_MAX]
    told = json.encode(detail)
    await conn.execute(_INSERT, actor.name, action, shown, told, actor.request_id, actor.token_id)


async def prune(conn: Connection, *, days: int, batch_max: int) -> int:
    """Forget entries older than `days`. Returns: how many; `batch_max` means that there may be more.

    Does not promise: an entry that is younger than 31 days stays, whatever `days` says.
    """
    count: int = await conn.fetchval(_PRUNE, days, batch_max)
    return count


async def erase_address(
    conn: Connection, *, local: str, domains: Sequence[str], after: int, batch_max: int
) -> tuple[int, int] | None:
    """Take an address out of what a part of the trail says; who did it, what and when stay.

    Returns: the last entry that was looked at, and how many had it; None at the end of the trail.
    """
    row = await conn.fetchrow(_ERASE, local, list(domains), after, batch_max)
    return None if row is None else (row["last"], row["erased"])


async def list_trail(
    conn: Connection,
    *,
    actor: str | None = None,
    action: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> BoundedPage[AuditEntry]:
    """The audit trail, newest first; of the newest `TRAIL_SCAN_MAX` that may fit.

    `cursor`: of the page before. Errors: `InvalidInput` for one that no page gave.
    """
    scan_max = TRAIL_SCAN_MAX if actor or action else limit + 1
    rows = await conn.fetch(_TRAIL, decode_cursor(cursor, int), actor, action, scan_max, limit + 1)
    found = bounded_page(rows, ("id",), limit=limit)
    entries = [as_kind(row, AuditEntry, detail=json.decode(row["detail"])) for row in found.rows]
    return BoundedPage(entries, found.cursor, found.truncated)


async def export(
    transactions: Transactions, *, since: datetime | None = None, until: datetime | None = None
) -> AsyncIterator[str]:
    """Every entry from `since` up to but not `until`, oldest first: NDJSON, a page of lines at a time.

    Each page is a look of its own, so that a slow reader holds neither memory nor a connection.
    Does not promise: an entry whose transaction is open when its moment is passed; let exports overlap.
    """
    begin, end = since or ALWAYS, until or NEVER
    after = (begin, 0)
    while True:
        async with transactions() as conn:
            rows = await conn.fetch(_ENTRIES, begin, end, *after, EXPORT_PAGE)
        if not rows:
            return
        yield "".join(_line(row) for row in rows)
        after = (rows[-1]["at"], rows[-1]["id"])


def _line(row: Record) -> str:
    """An `at` always has microseconds and the zone UTC, so that lines sort as text."""
    entry = {**row, "at": row["at"].astimezone(UTC).isoformat(timespec="microseconds")}
    entry["detail"] = json.decode(row["detail"])
    entry["token_id"] = str(row["token_id"]) if row["token_id"] else None
    return f"{json.encode(entry)}\n"
