"""The ledger as people read it: filtered, paged, one message with all that happened to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never
from uuid import UUID

from postroom.base.db import Connection, Record, query
from postroom.base.errors import NotFound
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.encryption import reveal
from postroom.outbox.model import Cause, Channel

_LIST = query(__package__, "list_messages")
_LIST_OPEN = query(__package__, "list_open_messages")
_LIST_DEAD = query(__package__, "list_dead_messages")
_STATUSES = query(__package__, "list_message_statuses")
_MESSAGE = query(__package__, "fetch_message")
_DELIVERIES = query(__package__, "list_deliveries")
_ATTEMPTS = query(__package__, "list_attempts")
_MESSAGE_DEAD = query(__package__, "list_message_dead_letters")
_CHAIN = query(__package__, "list_chain")

CHAIN_MAX = 100


class Status(StrEnum):
    """How a message stands as a whole; with several deliveries, the one that needs most attention."""

    PENDING = "pending"
    RETRY = "retry"
    PARKED = "parked"
    DEAD = "dead"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    NO_RECEIVER = "no_receiver"


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Which messages; None means any. The times compare with when the message got its id."""

    channel: Channel | None = None
    status: Status | None = None
    tenant: str | None = None
    type: str | None = None
    key: str | None = None
    correlation_id: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


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
class OpenDelivery:
    """A delivery that has not ended. `worker` and `claimed_at` while one is at it."""

    n: int
    destination: str
    endpoint_id: UUID | None
    state: str
    attempts: int
    due_at: datetime | None
    parked: bool
    worker: int | None
    claimed_at: datetime | None
    last_reason: str | None


@dataclass(frozen=True, slots=True)
class AttemptEntry:
    n: int
    attempt: int
    worker: int | None
    outcome: str
    code: str | None
    reason: str | None
    detail: str | None
    duration_ms: int | None
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class DeadLetter:
    message_id: UUID
    n: int
    channel: str
    destination: str
    endpoint_id: UUID | None
    attempts: int
    cause: Cause
    fingerprint: str
    reason: str
    code: str | None
    died_at: datetime
    type: str
    tenant: str
    key: str | None
    correlation_id: str | None


@dataclass(frozen=True, slots=True)
class MessageStory:
    """One message and all that happened to it; at most 1,000 rows of a kind, `CHAIN_MAX` in the chain."""

    message: LedgerEntry
    traceparent: str | None
    payload: Any
    open_deliveries: tuple[OpenDelivery, ...]
    attempts: tuple[AttemptEntry, ...]
    dead_letters: tuple[DeadLetter, ...]
    chain: tuple[LedgerEntry, ...]


def first_id_at(moment: datetime) -> UUID:
    """The smallest message id (UUIDv7) that a message of this moment can have; ids begin with 1970."""
    return UUID(int=max(int(moment.timestamp() * 1000), 0) << 80)


async def list_messages(
    conn: Connection, wanted: LedgerFilter, *, below_id: UUID | None = None, limit: int = 50
) -> list[LedgerEntry]:
    """Newest first; `below_id` continues after the last one seen.

    Transaction: the caller's; a repeatable read makes page and statuses agree.
    """
    bounds = [first_id_at(t) if t else None for t in (wanted.created_from, wanted.created_before)]
    ceilings = [i for i in (bounds[1], below_id) if i is not None]
    terms = (
        wanted.channel, wanted.tenant, wanted.type, wanted.key, wanted.correlation_id,
        bounds[0], min(ceilings, default=None),
    )  # fmt: skip
    match wanted.status:
        case Status.PENDING | Status.RETRY:
            rows = await conn.fetch(_LIST_OPEN, *terms, wanted.status, False, limit)
        case Status.PARKED:
            rows = await conn.fetch(_LIST_OPEN, *terms, None, True, limit)
        case Status.DEAD:
            rows = await conn.fetch(_LIST_DEAD, *terms, limit)
        case Status.DELIVERED | Status.CANCELLED | Status.NO_RECEIVER | None:
            rows = await conn.fetch(_LIST, *terms, wanted.status, limit)
        case _:
            assert_never(wanted.status)
    return await _with_status(conn, [dict(row) for row in rows])


async def fetch_message(conn: Connection, message_id: UUID, *, keyring: Keyring = NO_KEYS) -> MessageStory:
    """Everything about one message. A payload that no key opens says so in its place. Errors: `NotFound`."""
    row = await conn.fetchrow(_MESSAGE, message_id)
    if row is None:
        raise NotFound("there is no message with this id, or retention has removed it")
    fields = dict(row)
    payload = reveal(message_id, fields.pop("payload"), keyring)
    traceparent = fields.pop("traceparent")
    correlation_id = fields["correlation_id"]
    related = await conn.fetch(_CHAIN, message_id, correlation_id, _as_uuid(correlation_id), CHAIN_MAX)
    entry, *chain = await _with_status(conn, [fields, *(dict(r) for r in related)])
    return MessageStory(
        message=entry,
        traceparent=traceparent,
        payload=payload,
        open_deliveries=tuple(OpenDelivery(**r) for r in await conn.fetch(_DELIVERIES, message_id)),
        attempts=tuple(AttemptEntry(**r) for r in await conn.fetch(_ATTEMPTS, message_id)),
        dead_letters=tuple(dead_letter(r) for r in await conn.fetch(_MESSAGE_DEAD, message_id)),
        chain=tuple(chain),
    )


def dead_letter(row: Record) -> DeadLetter:
    """A row with the columns of `DeadLetter`."""
    return DeadLetter(**{**row, "cause": Cause(row["cause"])})


async def _with_status(conn: Connection, rows: Sequence[dict[str, Any]]) -> list[LedgerEntry]:
    found = await conn.fetch(_STATUSES, [row["id"] for row in rows]) if rows else []
    statuses = {row["id"]: Status(row["status"]) for row in found}
    return [LedgerEntry(**row, status=statuses[row["id"]]) for row in rows]


def _as_uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
