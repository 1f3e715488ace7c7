"""One message with all that happened to it, and what belongs to the same chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from postroom.base.bounded_page import as_kind
from postroom.base.db import Connection, query
from postroom.base.errors import NotFound
from postroom.base.ids import uuid_or_none
from postroom.client.task import BATCH_KEY
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.ledger.dead_letters import DeadLetter
from postroom.outbox.ledger.messages import LedgerEntry, with_status
from postroom.outbox.reach import EVERYTHING, Reach
from postroom.outbox.references import reveal

_MESSAGE = query(__package__, "fetch_message")
_CHAIN = query(__package__, "list_chain")
_DELIVERIES = query(__package__, "list_deliveries")
_ATTEMPTS = query(__package__, "list_attempts")
_DEAD = query(__package__, "list_dead_deliveries")
_BATCH = query(__package__, "fetch_batch_state")
_EMAIL_EVENTS = query(__package__, "list_email_events")

CHAIN_MAX: Final = 100
ROWS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class OpenDelivery:
    """A delivery that has not ended. `worker` and `claimed_at` while one is at it.

    Of a task under way: `progress` from 0 to 1, if it tells, and `cancelled_by`, who has asked it to end.
    `batch`: the message that follows the batch that it is in. `awaits_batch`: it is such a message itself.
    """

    message_id: UUID
    n: int
    channel: str
    destination: str
    endpoint_id: UUID | None
    state: str
    attempts: int
    due_at: datetime | None
    parked: bool
    awaits_batch: bool
    batch: UUID | None
    worker: int | None
    claimed_at: datetime | None
    last_reason: str | None
    expires_at: datetime | None
    urgency: str
    progress: float | None
    cancelled_by: str | None


@dataclass(frozen=True, slots=True)
class BatchState:
    """How the batch stands that a message follows: `size` deliveries, of which some have ended.

    `follows_on`: "end", or "success", where what follows is cancelled unless all were delivered.
    """

    size: int
    delivered: int
    dead: int
    cancelled: int
    follows_on: str


@dataclass(frozen=True, slots=True)
class AttemptEntry:
    """`destination` and `endpoint_id`: where it went; None where an older version wrote it down.

    `content_hash`: what the content was made from (hexadecimal), where an adapter makes it. Of a mail:
    `route`, the mail server that it went through, if it has a name, and `provider_id`, the server's id of it.
    """

    message_id: UUID
    n: int
    channel: str
    attempt: int
    worker: int | None
    outcome: str
    code: str | None
    reason: str | None
    detail: str | None
    duration_ms: int | None
    ended_at: datetime
    destination: str | None
    endpoint_id: UUID | None
    content_hash: str | None
    route: str | None
    provider_id: str | None


@dataclass(frozen=True, slots=True)
class EmailEvent:
    """What a provider tells of a mail after it was sent.

    `recipient`: masked, and empty where the provider does not say whose event it is.
    `permanent`: a bounce after which the address is suppressed.
    """

    message_id: UUID
    provider: str
    kind: str
    permanent: bool
    recipient: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Happenings:
    """What happened to some messages; at most `ROWS_MAX` rows of a kind."""

    open_deliveries: tuple[OpenDelivery, ...]
    attempts: tuple[AttemptEntry, ...]
    dead_letters: tuple[DeadLetter, ...]
    email_events: tuple[EmailEvent, ...]

    @property
    def truncated(self) -> bool:
        kinds = (self.open_deliveries, self.attempts, self.dead_letters, self.email_events)
        return max(map(len, kinds)) >= ROWS_MAX


@dataclass(frozen=True, slots=True)
class MessageStory:
    """One message and what happened to it; at most `ROWS_MAX` rows of a kind, `CHAIN_MAX` in the chain.

    `published_by`: the database role that published it by SQL; None for Postroom's own.
    `payload_hidden`: the payload was not asked for, and is None. `batch`: the one that it follows.
    """

    message: LedgerEntry
    traceparent: str | None
    published_by: str | None
    payload: Any
    payload_hidden: bool
    batch: BatchState | None
    open_deliveries: tuple[OpenDelivery, ...]
    attempts: tuple[AttemptEntry, ...]
    dead_letters: tuple[DeadLetter, ...]
    email_events: tuple[EmailEvent, ...]
    chain: tuple[LedgerEntry, ...]

    @property
    def content_hash(self) -> bytes | None:
        """What its last attempt was made from, where an adapter makes its content."""
        hashes = [each.content_hash for each in self.attempts if each.content_hash]
        return bytes.fromhex(hashes[-1]) if hashes else None


async def fetch_message(
    conn: Connection,
    message_id: UUID,
    *,
    keyring: Keyring | None = NO_KEYS,
    reach: Reach = EVERYTHING,
) -> MessageStory:
    """Everything about one message. A payload that no key opens says so in its place.

    `keyring`: None hides the payload. `reach`: what belongs to the same chain is shown as far as this goes.
    Errors: `NotFound`.
    """
    row = await conn.fetchrow(_MESSAGE, message_id)
    if row is None:
        raise NotFound("there is no message with this id, or retention has removed it")
    correlation_id = row["correlation_id"]
    known_by = uuid_or_none(correlation_id)
    related = await conn.fetch(_CHAIN, message_id, correlation_id, known_by, CHAIN_MAX, *reach.parameters())
    entry, *chain = await with_status(conn, [row, *related])
    happened = await fetch_happenings(conn, [entry])
    return MessageStory(
        message=entry,
        traceparent=row["traceparent"],
        published_by=row["published_by"],
        payload=(
            None
            if keyring is None
            else await reveal(conn, message_id, row["payload"], keyring, channel=entry.channel)
        ),
        payload_hidden=keyring is None,
        batch=await _fetch_batch(conn, entry),
        open_deliveries=happened.open_deliveries,
        attempts=happened.attempts,
        dead_letters=happened.dead_letters,
        email_events=happened.email_events,
        chain=tuple(chain),
    )


async def _fetch_batch(conn: Connection, entry: LedgerEntry) -> BatchState | None:
    if not (entry.key or "").startswith(BATCH_KEY):
        return None
    row = await conn.fetchrow(_BATCH, entry.id)
    return BatchState(**row) if row else None


async def fetch_happenings(conn: Connection, entries: Sequence[LedgerEntry]) -> Happenings:
    """What happened to these messages, at least one."""
    ids = [entry.id for entry in entries]
    since = min(entry.created_at for entry in entries)
    open_deliveries = await conn.fetch(_DELIVERIES, ids, ROWS_MAX)
    attempts = await conn.fetch(_ATTEMPTS, ids, since, ROWS_MAX, None)
    dead = await conn.fetch(_DEAD, ids, ROWS_MAX)
    told = await conn.fetch(_EMAIL_EVENTS, ids, ROWS_MAX)
    return Happenings(
        tuple(as_kind(row, OpenDelivery) for row in open_deliveries),
        tuple(as_kind(row, AttemptEntry) for row in attempts),
        tuple(as_kind(row, DeadLetter) for row in dead),
        tuple(as_kind(row, EmailEvent) for row in told),
    )


async def list_attempts(
    conn: Connection, message_id: UUID, *, endpoint_id: UUID | None = None
) -> list[AttemptEntry]:
    """The attempts at one message, of them only those at an endpoint: whether it got it, and when.

    Oldest first, at most `ROWS_MAX`. Errors: `NotFound`.
    """
    row = await conn.fetchrow(_MESSAGE, message_id)
    if row is None:
        raise NotFound("there is no message with this id, or retention has removed it")
    rows = await conn.fetch(_ATTEMPTS, [message_id], row["created_at"], ROWS_MAX, endpoint_id)
    return [as_kind(each, AttemptEntry) for each in rows]
