"""Replay: dead letters become deliveries again, one or many, never twice for one letter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from postroom.base.db import Connection, plan_for_values, query
from postroom.base.errors import Conflict, NotFound
from postroom.outbox import store

_REPLAY = query(__package__, "replay_letters")
_PREVIEW = query(__package__, "preview_letters")
_MESSAGE_EXISTS = query(__package__, "message_exists")

COUNT_CAP = 100_000
SAMPLE_MAX = 10
BATCH_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which dead letters: everything that is given must match."""

    channel: str | None = None
    cause: str | None = None
    fingerprint: str | None = None
    tenant: str | None = None
    type: str | None = None
    destination: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    message_ids: tuple[UUID, ...] | None = None
    codes: tuple[str, ...] | None = None
    outbound_only: bool = False

    def parameters(self) -> tuple[Any, ...]:
        """In the order of the queries' first eleven parameters."""
        return (
            self.channel,
            self.cause,
            self.fingerprint,
            self.tenant,
            self.type,
            self.destination,
            self.since,
            self.until,
            self.message_ids,
            self.codes,
            self.outbound_only,
        )


@dataclass(frozen=True, slots=True)
class LetterSample:
    message_id: UUID
    n: int
    channel: str
    destination: str
    cause: str
    reason: str
    died_at: datetime


@dataclass(frozen=True, slots=True)
class Preview:
    """What a replay would do. `count` and `destinations` stop at `COUNT_CAP` letters."""

    count: int
    destinations: int
    sample: list[LetterSample]


async def preview(conn: Connection, letters: LetterFilter) -> Preview:
    """Look, and touch nothing."""
    async with conn.transaction():
        await plan_for_values(conn)
        rows = await conn.fetch(_PREVIEW, *letters.parameters(), COUNT_CAP, SAMPLE_MAX)
    if not rows:
        return Preview(0, 0, [])
    shown = [LetterSample(**{name: row[name] for name in LetterSample.__slots__}) for row in rows]
    return Preview(rows[0]["count"], rows[0]["destinations"], shown)


async def replay_many(
    conn: Connection,
    letters: LetterFilter,
    *,
    actor: str,
    limit: int = BATCH_MAX,
    pace_per_s: float = 0.0,
    replays_max: int | None = None,
    after_s: float = 0.0,
) -> int:
    """Replay the oldest that match, at most `limit`; call again until it returns fewer.

    `pace_per_s`: spread them at so many a second; 0 makes all due at once.
    `replays_max`: leave alone what was replayed so often already.
    `after_s`: when the first is due; a paced batch that follows another starts where that one ends.
    Returns: how many. Transaction: the caller's; a letter taken by another replay is left to it.
    """
    await plan_for_values(conn)
    rows = await conn.fetch(_REPLAY, *letters.parameters(), limit, pace_per_s, replays_max, actor, after_s)
    for row in rows:
        await store.wake(conn, row["channel"])
    return sum(row["count"] for row in rows)


async def replay_one(conn: Connection, message_id: UUID, *, actor: str) -> int:
    """Replay every dead letter of one message. Returns: how many, at least 1.

    Errors: `NotFound` for no such message, `Conflict` when it has no dead letter (any more).
    Transaction: the caller's.
    """
    count = await replay_many(conn, LetterFilter(message_ids=(message_id,)), actor=actor)
    if count:
        return count
    if await conn.fetchval(_MESSAGE_EXISTS, message_id):
        raise Conflict(f"message {message_id} has no dead letter: it was replayed already, or never died")
    raise NotFound(f"there is no message {message_id}")
