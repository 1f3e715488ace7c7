"""Stripe's events, as people read them."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from postroom.base.bounded_page import BoundedPage, bounded_page
from postroom.base.cursor import decode_cursor
from postroom.base.db import Connection, Record, fetch_one, query

SCAN_MAX: Final = 2_000
SUMMED_MAX: Final = 5_000

_EVENTS = query(__package__, "list_stripe_events")
_EVENT = query(__package__, "fetch_stripe_event")
_SUMMARY = query(__package__, "fetch_stripe_summary")


async def list_events(
    conn: Connection,
    *,
    state: str | None,
    type_: str | None,
    cursor: str | None,
    limit: int,
) -> BoundedPage[Record]:
    """Newest first, as long as their raw bodies are kept; of the newest `SCAN_MAX` that may fit."""
    after = decode_cursor(cursor, tuple[datetime, str]) or (None, None)
    scan_max = SCAN_MAX if state or type_ else limit + 1
    rows = await conn.fetch(_EVENTS, *after, scan_max, state, type_, limit + 1)
    return bounded_page(rows, ("received_at", "event_id"), limit=limit)


async def fetch_event(conn: Connection, message_id: UUID) -> Record | None:
    """What is known of an event, without its body; None for a message that is no event, or no more."""
    row: Record | None = await conn.fetchrow(_EVENT, message_id)
    return row


async def fetch_summary(conn: Connection) -> Record:
    """The last day in one row, of its newest 5,000 events."""
    return await fetch_one(conn, _SUMMARY, SUMMED_MAX)
