"""The audit trail: who changed what, written with the change itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from postroom.base import json
from postroom.base.bounded_page import BoundedPage, as_kind, bounded_page
from postroom.base.cursor import decode_cursor
from postroom.base.db import Connection, query

_INSERT = query(__package__, "insert_audit")
_TRAIL = query(__package__, "list_trail")
_PRUNE = query(__package__, "prune_audit")

TRAIL_SCAN_MAX: Final = 10_000
SUBJECT_LENGTH_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: how the trail names them, what they may do, and in which request."""

    name: str
    scopes: frozenset[str] = frozenset()
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    request_id: str | None


async def record(
    conn: Connection, actor: Actor, action: str, subject: object = "", /, **detail: object
) -> None:
    """Write one entry. Transaction: the caller's, so that no change is without its entry."""
    shown = str(subject)[:SUBJECT_LENGTH_MAX]
    await conn.execute(_INSERT, actor.name, action, shown, json.encode(detail), actor.request_id)


async def prune(conn: Connection, *, days: int, batch_max: int) -> int:
    """Forget entries older than `days`. Returns: how many; `batch_max` means that there may be more.

    Does not promise: an entry that is younger than 31 days stays, whatever `days` says.
    """
    count: int = await conn.fetchval(_PRUNE, days, batch_max)
    return count


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
