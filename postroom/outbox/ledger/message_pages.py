"""The ledger as the console reads it: bounded looks along an index, never a scan of a table.

Rows are for templates, which read them by name; the columns are in the query's file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from postroom.base.bounded_page import BoundedPage, looked
from postroom.base.db import Connection, Record, query
from postroom.outbox.ledger.messages import LedgerEntry, first_id_at
from postroom.outbox.model import Channel

SCAN_MAX: Final = 10_000
WAITING_SCAN_MAX: Final = 2_000
CHAIN_ROWS_MAX: Final = 1_000

_SEARCH = query(__package__, "search_messages")
_LIST = query(__package__, "page_messages")
_LIST_TENANT = query(__package__, "list_tenant_messages")
_LIST_WAITING = query(__package__, "list_waiting")
_LIST_PARKED = query(__package__, "list_parked")
_STATUSES = query(__package__, "list_statuses")
_TOPICS = query(__package__, "list_topics")
_CHAIN_ATTEMPTS = query(__package__, "list_chain_attempts")
_CHAIN_DELIVERIES = query(__package__, "list_chain_deliveries")
_CHAIN_LETTERS = query(__package__, "list_chain_letters")
_RECENT = query(__package__, "count_recent_messages")

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages; None means any. `ended`: only those that ended so, or are dead."""

    channel: str | None = None
    type: str | None = None
    tenant: str | None = None
    ended: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


async def search_messages(
    conn: Connection,
    text: str,
    *,
    as_id: UUID | None,
    below_id: UUID | None,
    limit: int,
    pseudonyms: Sequence[str] = (),
) -> list[Record]:
    """Whatever the text names exactly: id, key, tenant, correlation, address, Stripe event or object.

    `pseudonyms`: what encrypted payloads have in the place of the text, where it is an address.
    """
    addresses = [text.lower(), *pseudonyms]
    return list(await conn.fetch(_SEARCH, text, as_id, below_id, limit, addresses))


async def list_messages(
    conn: Connection, wanted: MessageFilter, *, below_id: UUID | None, limit: int
) -> BoundedPage:
    """Newest first, of the newest `SCAN_MAX` that may fit."""
    narrow = any((wanted.channel, wanted.type, wanted.ended))
    scan_max = SCAN_MAX if narrow else limit + 1
    bounds = _ids_between(wanted.created_from, wanted.created_before)
    ceiling = min((i for i in (bounds[1], below_id) if i is not None), default=None)
    terms = (wanted.channel, wanted.type, bounds[0], ceiling, scan_max, wanted.ended, limit + 1)
    if wanted.tenant:
        rows = await conn.fetch(_LIST_TENANT, *terms, wanted.tenant)
    else:
        rows = await conn.fetch(_LIST, *terms)
    return looked(rows, ("id",), limit=limit)


async def list_waiting(
    conn: Connection,
    *,
    channels: Sequence[str],
    states: Sequence[str],
    parked: bool = False,
    tenant: str | None = None,
    type_: str | None = None,
    created_from: datetime | None = None,
    created_before: datetime | None = None,
    after: tuple[datetime, int] = (BEGINNING, 0),
    limit: int,
) -> BoundedPage:
    """Deliveries that have not ended, the longest due first; the parked ones by their number."""
    narrow = any((tenant, type_, created_from, created_before))
    scan_max = WAITING_SCAN_MAX if narrow else limit + 1
    bounds = _ids_between(created_from, created_before)
    statement, columns = (_LIST_PARKED, ("seq",)) if parked else (_LIST_WAITING, ("due_at", "seq"))
    rows = await conn.fetch(statement, channels, states, *after, scan_max, tenant, type_, limit + 1, *bounds)
    return looked(rows, columns, limit=limit)


async def fetch_statuses(conn: Connection, rows: Sequence[Record]) -> dict[UUID, str]:
    """How each message of a page stands. `rows` have `id` and `created_at`."""
    found = await conn.fetch(_STATUSES, [r["id"] for r in rows], [r["created_at"] for r in rows])
    return {row["id"]: row["status"] for row in found}


async def fetch_topics(conn: Connection, ids: Sequence[UUID]) -> dict[UUID, str]:
    """What messages without a type are about: the template or the dataset; nothing personal."""
    rows = await conn.fetch(_TOPICS, ids)
    return {row["id"]: row["topic"] for row in rows if row["topic"]}


@dataclass(frozen=True, slots=True)
class ChainRows:
    attempts: list[Record]
    deliveries: list[Record]
    letters: list[Record]


async def fetch_chain_rows(conn: Connection, chain: Sequence[LedgerEntry]) -> ChainRows:
    """What happened to the messages of a chain; at most 1,000 rows of a kind."""
    ids = [entry.id for entry in chain]
    since = min(entry.created_at for entry in chain)
    return ChainRows(
        attempts=list(await conn.fetch(_CHAIN_ATTEMPTS, ids, since, CHAIN_ROWS_MAX)),
        deliveries=list(await conn.fetch(_CHAIN_DELIVERIES, ids, CHAIN_ROWS_MAX)),
        letters=list(await conn.fetch(_CHAIN_LETTERS, ids, CHAIN_ROWS_MAX)),
    )


async def count_recent_messages(conn: Connection, *, since: datetime, cap: int) -> int:
    """Messages published since a moment, as their ids tell, up to `cap`."""
    count: int = await conn.fetchval(_RECENT, first_id_at(since), cap)
    return count


def _ids_between(since: datetime | None, before: datetime | None) -> tuple[UUID | None, UUID | None]:
    return first_id_at(since) if since else None, first_id_at(before) if before else None


def every_channel(chosen: str | None) -> list[str]:
    return [chosen] if chosen else [channel.value for channel in Channel]
