"""Stripe's events and objects in PostgreSQL. The caller owns the transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.base import json
from app.base.db import Connection, query
from app.base.sealing import Keyring
from app.stripe.event import Event
from app.stripe.sealed import seal_object, seal_raw

_INSERT_EVENTS = query(__package__, "insert_events")
_FETCH_STANDING = query(__package__, "fetch_standing")
_UPSERT_OBJECT = query(__package__, "upsert_object")
_MARK_DELETED = query(__package__, "mark_deleted")
_MARK_EVENT = query(__package__, "mark_event")
_LIST_KNOWN = query(__package__, "list_known")
_PRUNE_RAW = query(__package__, "prune_raw")


class EventState(StrEnum):
    """How far an event has come; retries and dead letters are the ledger's to tell."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event to book. `secret` is the fingerprint of the one that matched; None for a backfill."""

    event: Event
    message_id: UUID
    state: EventState
    secret: str | None
    raw: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """An event that was received, and what the mirror has of its object, if anything."""

    message_id: UUID
    state: EventState
    as_of: datetime | None
    mirrored_event_id: str | None
    fetched: bool | None


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """The state of an object as of a moment. `fetched`: it comes from Stripe's API, not from an event."""

    event: Event
    data: dict[str, Any]
    deleted: bool
    as_of: datetime
    fetched: bool


async def insert_events(conn: Connection, rows: Sequence[EventRow], keyring: Keyring) -> None:
    """Book events; one that is known already stays as it is."""
    events = [row.event for row in rows]
    await conn.execute(
        _INSERT_EVENTS,
        [e.account_key for e in events],
        [e.id for e in events],
        [row.message_id for row in rows],
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
        [seal_raw(row.message_id, row.raw, keyring) for row in rows],
    )


async def fetch_standing(conn: Connection, event: Event) -> Standing | None:
    """None where no such event was ever received."""
    row = await conn.fetchrow(_FETCH_STANDING, event.account_key, event.id, event.object_id)
    if row is None:
        return None
    return Standing(**{**row, "state": EventState(row["state"])})


async def upsert_object(conn: Connection, row: ObjectRow, keyring: Keyring) -> None:
    """Mirror a state, unless the mirror has a newer one."""
    event = row.event
    await conn.execute(
        _UPSERT_OBJECT,
        event.account_key,
        event.object_id,
        event.object_type or "",
        seal_object(event.account_key, event.object_id or "", json.encode(row.data), keyring),
        row.deleted,
        row.as_of,
        event.id,
        event.rank,
        row.fetched,
    )


async def mark_deleted(conn: Connection, *, event: Event, as_of: datetime) -> None:
    """Note that Stripe has the object no longer; its last known state is kept."""
    await conn.execute(_MARK_DELETED, event.account_key, event.object_id, as_of)


async def mark_event(conn: Connection, *, event: Event, state: EventState) -> None:
    await conn.execute(_MARK_EVENT, event.account_key, event.id, state)


async def list_known(conn: Connection, *, account: str, event_ids: Sequence[str]) -> set[str]:
    """Which of these have been received."""
    return {row["event_id"] for row in await conn.fetch(_LIST_KNOWN, account, event_ids)}


async def prune_raw(conn: Connection, *, days: int, batch_max: int) -> int:
    """Empty raw bodies older than `days`. Returns: how many; fewer than `batch_max` means done."""
    return len(await conn.fetch(_PRUNE_RAW, days, batch_max))
