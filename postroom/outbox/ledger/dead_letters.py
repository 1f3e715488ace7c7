"""The dead-letter office as people read it: items, groups of one fault, counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from postroom.base.db import Connection, plan_for_values, query
from postroom.outbox.ledger.messages import DeadLetter, dead_letter
from postroom.outbox.model import Cause, Channel

_LIST = query(__package__, "list_dead_letters")
_GROUPS = query(__package__, "list_dead_letter_groups")
_COUNT = query(__package__, "count_dead_letters")


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters; None means any."""

    channels: tuple[Channel, ...] = tuple(Channel)
    cause: Cause | None = None
    fingerprint: str | None = None
    tenant: str | None = None
    died_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterPosition:
    """The last letter of a page; the next page starts after it."""

    died_at: datetime
    message_id: UUID
    n: int


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Letters that died of one fault: the same fingerprint, channel and cause."""

    fingerprint: str
    channel: str
    cause: Cause
    count: int
    first_died_at: datetime
    last_died_at: datetime
    sample_reason: str
    sample_message_id: UUID


@dataclass(frozen=True, slots=True)
class DeadLetterCount:
    channel: str
    cause: Cause
    count: int


async def list_dead_letters(
    conn: Connection,
    wanted: DeadLetterFilter,
    *,
    after: DeadLetterPosition | None = None,
    limit: int = 50,
) -> list[DeadLetter]:
    """Newest first."""
    position = (after.died_at, after.message_id, after.n) if after else (None, None, None)
    async with conn.transaction():
        await plan_for_values(conn)
        return [dead_letter(row) for row in await conn.fetch(_LIST, *_terms(wanted), limit, *position)]


async def list_dead_letter_groups(
    conn: Connection, wanted: DeadLetterFilter, *, limit: int = 50
) -> list[DeadLetterGroup]:
    """The biggest first."""
    rows = await conn.fetch(_GROUPS, *_terms(wanted), limit)
    return [DeadLetterGroup(**{**row, "cause": Cause(row["cause"])}) for row in rows]


async def count_dead_letters(
    conn: Connection, channels: Sequence[Channel] = tuple(Channel)
) -> list[DeadLetterCount]:
    """How many by channel and cause; pairs without any are left out."""
    rows = await conn.fetch(_COUNT, list(channels))
    return [DeadLetterCount(**{**row, "cause": Cause(row["cause"])}) for row in rows]


def _terms(wanted: DeadLetterFilter) -> tuple[object, ...]:
    return (list(wanted.channels), wanted.cause, wanted.fingerprint, wanted.tenant, wanted.died_since)
