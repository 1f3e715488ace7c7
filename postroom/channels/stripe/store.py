"""Stripe's events and objects in PostgreSQL. The caller owns the transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from postroom.base import json
from postroom.base.db import Connection, query
from postroom.base.slots import slot_of
from postroom.channels.stripe.access_store import Mirrored, replace_access
from postroom.channels.stripe.encryption import encrypt_object, encrypt_raw, open_object
from postroom.channels.stripe.event import Event
from postroom.encryption.keyring import Keyring
from postroom.outbox.model import Message
from postroom.outbox.publish import Published, elsewhere_told
from postroom.outbox.store import TALLY_SHARDS

_BOOK_EVENTS = query(__package__, "book_events")
_INSERT_EVENTS = query(__package__, "insert_events")
_LOCK_EVENT = query(__package__, "lock_event")
_REBOOK_EVENT = query(__package__, "rebook_event")
_FETCH_OBJECTS = query(__package__, "fetch_objects")
_FETCH_MIRROR_STATES = query(__package__, "fetch_mirror_states")
_UPSERT_OBJECTS = query(__package__, "upsert_objects")
_MARK_DELETED = query(__package__, "mark_deleted")
_MARK_EVENTS = query(__package__, "mark_events")
_LIST_KNOWN = query(__package__, "list_known")
_LIST_ELSEWHERE = query(__package__, "list_elsewhere")
_LIST_SENT = query(__package__, "list_sent")
_PRUNE_RAW = query(__package__, "prune_raw")
_PRUNE_EVENTS = query(__package__, "prune_events")


class EventState(StrEnum):
    """How far an event has come; retries and dead letters are the ledger's to tell."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"


class EventRow(msgspec.Struct, frozen=True):
    """One event to book with its message. `secret`: fingerprint of the one that matched; None: a backfill."""

    event: Event
    message: Message
    state: EventState
    secret: str | None
    effects: bool
    raw: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of an event (None: retention was there), and where its message stands."""

    account: str
    raw: bytes | None
    effects: bool
    tenant: str
    correlation_id: str
    waits: bool
    dead: bool


@dataclass(frozen=True, slots=True)
class MirrorState:
    """An event that was received, and what the mirror has of its object, if anything."""

    account: str
    effects: bool
    as_of: datetime | None
    mirrored_event_id: str | None
    fetched: bool | None


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """The state of an object as of a moment. `fetched`: it comes from Stripe's API, not from an event.
    `text`: its data as JSON, where PostgreSQL has given it."""

    event: Event
    data: dict[str, Any]
    deleted: bool
    as_of: datetime
    api_version: str | None
    fetched: bool = False
    text: str | None = None


async def book_events(conn: Connection, rows: Sequence[EventRow], *, worker: int) -> list[Published]:
    """Publish the messages of events, keep the events beside them, count the duplicates; all or nothing.

    Errors: `InvalidInput` for text that PostgreSQL cannot keep; `TenantElsewhere`.
    Transaction: the caller's; without one this is one, committed once it has returned.
    """
    with elsewhere_told():
        booked = await conn.fetch(
            _BOOK_EVENTS,
            json.encode([row.message for row in rows]),
            *_columns(rows),
            [row.raw for row in rows],
            worker % TALLY_SHARDS,
        )
    return [Published(row["id"], row["published"]) for row in booked]


async def insert_events(conn: Connection, rows: Sequence[tuple[EventRow, UUID]], keyring: Keyring) -> None:
    """Keep events beside their messages, encrypted; what is known stays, unless it only filled the mirror."""
    await conn.execute(
        _INSERT_EVENTS,
        [message_id for _, message_id in rows],
        *_columns([row for row, _ in rows]),
        [encrypt_raw(message_id, row.raw, keyring) for row, message_id in rows],
    )


def _columns(rows: Sequence[EventRow]) -> list[list[Any]]:
    events = [row.event for row in rows]
    return [
        [e.account_key for e in events],
        [e.id for e in events],
        ["backfill" if row.secret is None else "webhook" for row in rows],
        [row.state for row in rows],
        [e.type for e in events],
        [e.object_type for e in events],
        [e.object_id for e in events],
        [e.api_version for e in events],
        [e.livemode for e in events],
        [e.thin for e in events],
        [e.created for e in events],
        [row.secret for row in rows],
        [row.effects for row in rows],
    ]


async def lock_event(conn: Connection, message_id: UUID) -> Kept | None:
    """None where no event came in as this message. Transaction: the caller's, which holds the lock."""
    row = await conn.fetchrow(_LOCK_EVENT, message_id)
    return None if row is None else Kept(**row)


async def rebook_event(conn: Connection, *, old: UUID, new: UUID, raw: bytes, keyring: Keyring) -> None:
    """From now on the event goes by another message. `raw`: its body, open."""
    await conn.execute(_REBOOK_EVENT, old, new, encrypt_raw(new, raw, keyring))


async def fetch_mirror_states(
    conn: Connection, events: Sequence[tuple[UUID, str | None]]
) -> list[MirrorState | None]:
    """One an event, of message and object, in order; None where none came in as this message."""
    rows = await conn.fetch(_FETCH_MIRROR_STATES, *zip(*events, strict=True))
    found: list[MirrorState | None] = [None] * len(events)
    for row in rows:
        place, *state = row
        found[place - 1] = MirrorState(*state)
    return found


async def fetch_objects(
    conn: Connection, wanted: Sequence[tuple[str, str]], keyring: Keyring
) -> list[dict[str, Any] | None]:
    """What the mirror has of objects, of account and id, in order. Errors: `Unreadable`."""
    found: list[dict[str, Any] | None] = [None] * len(wanted)
    for place, kept in await conn.fetch(_FETCH_OBJECTS, *zip(*wanted, strict=True)):
        account, object_id = wanted[place - 1]
        found[place - 1] = msgspec.json.decode(open_object(account, object_id, kept, keyring))
    return found


async def upsert_objects(conn: Connection, rows: Sequence[ObjectRow], keyring: Keyring) -> None:
    """Mirror states of different objects, and what they say of access, each unless the mirror is newer."""
    if not rows:
        return
    events = [row.event for row in rows]
    both = zip(events, rows, strict=True)
    written = await conn.fetch(
        _UPSERT_OBJECTS,
        [e.account_key for e in events],
        [e.object_id for e in events],
        [e.object_type or "" for e in events],
        [
            encrypt_object(e.account_key, e.object_id or "", r.text or json.encode(r.data), keyring)
            for e, r in both
        ],
        [row.deleted for row in rows],
        [row.as_of for row in rows],
        [e.id for e in events],
        [e.rank for e in events],
        [row.fetched for row in rows],
        [e.livemode for e in events],
        [row.api_version for row in rows],
    )
    data = {(row.event.account_key, row.event.object_id): row.data for row in rows}
    await replace_access(
        conn, [Mirrored(account, object_id, data[account, object_id]) for account, object_id in written]
    )


async def mark_deleted(conn: Connection, *, event: Event, as_of: datetime) -> bool:
    """Note that Stripe has the object no longer; its last state is kept. Returns: whether there is one."""
    done: str = await conn.execute(_MARK_DELETED, event.account_key, event.object_id, as_of)
    return done != "UPDATE 0"


async def mark_events(conn: Connection, ended: Sequence[tuple[UUID, EventState]]) -> None:
    await conn.execute(_MARK_EVENTS, [message_id for message_id, _ in ended], [state for _, state in ended])


async def list_known(conn: Connection, *, account: str, event_ids: Sequence[str]) -> dict[str, bool]:
    """Which of these have been received, and whether with their effects."""
    return {row["event_id"]: row["effects"] for row in await conn.fetch(_LIST_KNOWN, account, event_ids)}


async def list_elsewhere(conn: Connection, owners: Collection[str]) -> set[str]:
    """Which of these the directory places in another ledger, as far as this one knows."""
    rows = await conn.fetch(_LIST_ELSEWHERE, list(owners), [slot_of(each) for each in owners])
    return {row["owner"] for row in rows}


async def list_sent(conn: Connection, *, correlation_id: str, key_prefix: str) -> list[tuple[str, str]]:
    """What an event has caused so far: channels, and what the keys have after the prefix."""
    return [(row["channel"], row["name"]) for row in await conn.fetch(_LIST_SENT, correlation_id, key_prefix)]


async def prune_raw(conn: Connection, *, days: int, batch_max: int) -> int:
    """Empty raw bodies older than `days`. Returns: how many; fewer than `batch_max` means done."""
    return len(await conn.fetch(_PRUNE_RAW, days, batch_max))


async def prune_events(conn: Connection, *, days: int, batch_max: int) -> int:
    """Forget events older than `days` whose messages are gone. Returns: how many, as `prune_raw` does."""
    return len(await conn.fetch(_PRUNE_EVENTS, days, batch_max))
