"""The audit trail: who changed what, written with the change itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from postroom.base import json
from postroom.base.bounded_page import BoundedPage, looked
from postroom.base.db import Connection, query

_INSERT = query(__package__, "insert_audit")
_TRAIL = query(__package__, "list_trail")
_LIST = query(__package__, "list_audit")
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


async def list_(
    conn: Connection,
    *,
    below_id: int | None = None,
    actor: str | None = None,
    action: str | None = None,
    limit: int = 50,
) -> list[AuditEntry]:
    """Newest first; `below_id` continues after the last entry seen."""
    rows = await conn.fetch(_LIST, below_id, actor, action, limit)
    return [AuditEntry(**{**row, "detail": json.decode(row["detail"])}) for row in rows]


async def prune(conn: Connection, *, days: int, batch_max: int) -> int:
    """Forget entries older than `days`. Returns: how many; `batch_max` means that there may be more."""
    return len(await conn.fetch(_PRUNE, days, batch_max))


async def list_trail(
    conn: Connection, *, actor: str | None, action: str | None, below_id: int | None, limit: int
) -> BoundedPage:
    """The audit trail, newest first; of the newest `TRAIL_SCAN_MAX` that may fit. `detail` is JSON text."""
    scan_max = TRAIL_SCAN_MAX if actor or action else limit + 1
    rows = await conn.fetch(_TRAIL, below_id, actor, action, scan_max, limit + 1)
    return looked(rows, ("id",), limit=limit)
