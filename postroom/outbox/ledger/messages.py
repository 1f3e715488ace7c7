"""The ledger as people read it: filtered, searched, paged; by bounded scans along an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from postroom.base.bounded_page import BoundedPage, as_kind, bounded_page
from postroom.base.cursor import decode_cursor, encode_cursor
from postroom.base.db import Connection, Record, query
from postroom.base.ids import uuid_or_none
from postroom.outbox.lanes import FIRST_STATES, HELD_STATES, RETRY_STATES
from postroom.outbox.model import Channel
from postroom.outbox.reach import EVERYTHING, Reach

SCAN_MAX: Final = 10_000
WAITING_SCAN_MAX: Final = 2_000
BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)

_LIST = query(__package__, "list_messages")
_SEARCH = query(__package__, "search_messages")
_LIST_WAITING = query(__package__, "list_waiting")
_STATUSES = query(__package__, "list_statuses")
_TOPICS = query(__package__, "list_topics")
_RECENT = query(__package__, "count_recent_messages")


class Status(StrEnum):
    """How a message stands as a whole; with several deliveries, the one that needs most attention.

    What is parked waits for a person; what awaits its batch, for other messages.
    """

    PENDING = "pending"
    RETRY = "retry"
    PARKED = "parked"
    AWAITING_BATCH = "awaiting_batch"
    DEAD = "dead"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    NO_RECEIVER = "no_receiver"


OPEN: Final = (Status.PENDING, Status.RETRY, Status.PARKED, Status.AWAITING_BATCH)
TIMELESS: Final = {
    Status.PARKED: frozenset(Channel) - {Channel.TASK},
    Status.AWAITING_BATCH: frozenset({Channel.TASK}),
}
"""The channels of what has no time yet: of tasks only what follows a batch has none."""


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Which messages; None means any. The times compare with when the message got its id."""

    channel: str | None = None
    status: Status | None = None
    tenant: str | None = None
    type: str | None = None
    key: str | None = None
    correlation_id: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    reach: Reach = EVERYTHING

    def within(self, reach: Reach) -> LedgerFilter:
        """Of these only what somebody reaches."""
        tenant = self.tenant or reach.only_tenant
        return replace(self, tenant=tenant, reach=reach.beside(tenant))


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One message without its payload."""

    id: UUID
    channel: str
    type: str
    tenant: str
    key: str | None
    correlation_id: str | None
    ordering_key: str | None
    deliveries: int
    created_at: datetime
    status: Status


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that has not ended, with its message. `worker` while one is at it."""

    id: UUID
    n: int
    channel: str
    type: str
    tenant: str
    key: str | None
    created_at: datetime
    destination: str
    state: str
    attempts: int
    due_at: datetime | None
    parked: bool
    worker: int | None
    last_reason: str | None


def first_id_at(moment: datetime) -> UUID:
    """The smallest message id (UUIDv7) that a message of this moment can have; ids begin with 1970."""
    return UUID(int=max(int(moment.timestamp() * 1000), 0) << 80)


async def list_messages(
    conn: Connection, wanted: LedgerFilter, *, cursor: str | None = None, limit: int = 50
) -> BoundedPage[LedgerEntry]:
    """Newest first, of the newest `SCAN_MAX` that may fit.

    `cursor`: of the page before. Errors: `InvalidInput` for one that no page gave.
    Transaction: the caller's; a repeatable read makes page and statuses agree.
    """
    below_id = decode_cursor(cursor, UUID)
    since, before = _ids_between(wanted)
    # A tenant alone is found along an index: nothing is passed over.
    narrow = (
        wanted.channel,
        wanted.status,
        wanted.type,
        wanted.key,
        wanted.correlation_id,
        wanted.tenant == "",
        wanted.reach.limited,
    )
    rows = await conn.fetch(
        _LIST,
        *(wanted.channel, wanted.tenant, wanted.type, wanted.key, wanted.correlation_id),
        since,
        min((each for each in (before, below_id) if each is not None), default=None),
        wanted.status,
        SCAN_MAX if any(narrow) else limit + 1,
        limit + 1,
        *wanted.reach.parameters(),
    )
    found = bounded_page(rows, ("id",), limit=limit)
    return BoundedPage(await with_status(conn, found.rows), found.cursor, found.truncated)


async def search_messages(
    conn: Connection,
    text: str,
    *,
    pseudonyms: Sequence[str] = (),
    reach: Reach = EVERYTHING,
    cursor: str | None = None,
    limit: int = 50,
) -> BoundedPage[LedgerEntry]:
    """Whatever the text names exactly: id, key, tenant, correlation, address, Stripe event or object.

    `pseudonyms`: what encrypted payloads have in the place of the text, where it is an address.
    """
    addresses = [text.lower(), *pseudonyms]
    below_id = decode_cursor(cursor, UUID)
    rows = await conn.fetch(
        _SEARCH, text, uuid_or_none(text), below_id, limit + 1, addresses, *reach.parameters()
    )
    more = encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None
    return BoundedPage(await with_status(conn, rows[:limit]), more)


async def list_waiting(
    conn: Connection, wanted: LedgerFilter, *, cursor: str | None = None, limit: int = 50
) -> BoundedPage[Waiting]:
    """Deliveries that have not ended, the longest due first; those without a time by their number.

    `wanted`: its status is one of `OPEN`; `key` and `correlation_id` are not looked at.
    `cursor`: of the page before. Errors: `InvalidInput` for one that no page gave.
    """
    of_channels = TIMELESS.get(wanted.status or Status.PENDING)
    states = FIRST_STATES | RETRY_STATES
    if of_channels is None:
        states = RETRY_STATES if wanted.status == Status.RETRY else FIRST_STATES | HELD_STATES
    after: tuple[datetime | None, int]
    columns: tuple[str, ...]
    if of_channels is not None:
        after, columns = (None, decode_cursor(cursor, int) or 0), ("seq",)
    else:
        after, columns = decode_cursor(cursor, tuple[datetime, int]) or (BEGINNING, 0), ("due_at", "seq")
    tenants, channels = wanted.reach.parameters()
    narrow = any((wanted.tenant, tenants, wanted.type, wanted.created_from, wanted.created_before))
    rows = await conn.fetch(
        _LIST_WAITING,
        [
            each
            for each in channels or list(Channel)
            if wanted.channel in (None, each) and each in (of_channels or Channel)
        ],
        sorted(states),
        *after,
        WAITING_SCAN_MAX if narrow else limit + 1,
        *(wanted.tenant, wanted.type),
        *_ids_between(wanted),
        limit + 1,
        tenants,
    )
    return bounded_page(rows, columns, limit=limit).of(Waiting)


async def with_status(conn: Connection, rows: Sequence[Record | dict[str, Any]]) -> list[LedgerEntry]:
    """Rows with the columns of `LedgerEntry`, and how each message stands."""
    found = await conn.fetch(_STATUSES, [row["id"] for row in rows], [row["created_at"] for row in rows])
    statuses = {row["id"]: row["status"] for row in found}
    return [as_kind(row, LedgerEntry, status=statuses[row["id"]]) for row in rows]


async def fetch_topics(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, str]:
    """What messages without a type are about: the template or the dataset; nothing personal."""
    rows = await conn.fetch(_TOPICS, ids)
    return {row["id"]: row["topic"] for row in rows if row["topic"]}


async def count_recent_messages(conn: Connection, *, since: datetime, cap: int) -> int:
    """Messages published since a moment, as their ids tell, up to `cap`."""
    count: int = await conn.fetchval(_RECENT, first_id_at(since), cap)
    return count


def _ids_between(wanted: LedgerFilter) -> tuple[UUID | None, UUID | None]:
    since, before = wanted.created_from, wanted.created_before
    return first_id_at(since) if since else None, first_id_at(before) if before else None
