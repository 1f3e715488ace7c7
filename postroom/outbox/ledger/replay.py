"""Replay: dead letters become deliveries again, one or many, never twice for one letter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from postroom.base.db import Connection, Record, plan_for_values, query
from postroom.base.errors import Conflict, NotFound
from postroom.outbox import store
from postroom.outbox.ledger.dead_letters import DeadLetterFilter

_REPLAY = query(__package__, "replay_dead_letters")
_DRY_RUN = query(__package__, "fetch_dry_run")
_MESSAGE_EXISTS = query(__package__, "message_exists")

REPLAYED_MAX: Final = 50_000
COUNTED_MAX: Final = 100_000
RECEIVERS_SHOWN_MAX: Final = 12
SAMPLE_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class DeadLetterSample:
    message_id: UUID
    n: int
    channel: str
    destination: str
    cause: str
    reason: str
    died_at: datetime


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a replay would take. `truncated`: of the first letters that may match only; there may be more.

    `rows`: the receivers with the most letters, with what stands in the way; at most `RECEIVERS_SHOWN_MAX`.
    `sample`: the oldest letters, at most `SAMPLE_MAX`.
    """

    letters: int
    receivers: int
    truncated: bool
    rows: list[Record]
    sample: list[DeadLetterSample]


async def fetch_dry_run(conn: Connection, wanted: DeadLetterFilter, *, scan_max: int = COUNTED_MAX) -> DryRun:
    """How many (of at most `scan_max`), to whom, and what stands in the way; touches nothing.

    Transaction: the caller's; from here on it plans each statement for its very values.
    """
    await plan_for_values(conn)
    rows = await conn.fetch(_DRY_RUN, *wanted.parameters(), scan_max, RECEIVERS_SHOWN_MAX, SAMPLE_MAX)
    truncated = rows[0]["scanned"] >= scan_max
    if not rows[0]["channel"]:
        return DryRun(0, 0, truncated, [], [])
    sample = [DeadLetterSample(*each) for each in rows[0]["sample"]]
    return DryRun(rows[0]["letters"], rows[0]["receivers"], truncated, rows, sample)


@dataclass(frozen=True, slots=True)
class Replayed:
    """`run_id`: None when nothing matched, or no run was asked for."""

    count: int
    run_id: UUID | None


async def replay_dead_letters(
    conn: Connection,
    wanted: DeadLetterFilter,
    *,
    actor: str,
    limit: int,
    pace_per_s: float = 0.0,
    replays_max: int | None = None,
    after_s: float = 0.0,
    run_wanted: str | None = None,
    run_id: UUID | None = None,
    fresh: bool = False,
) -> Replayed:
    """Replay the oldest that match, at most `limit`; call again until it returns fewer.

    `pace_per_s`: spread them at so many a second; 0 makes all due at once.
    `replays_max`: nobody asked for this replay: it leaves alone what was replayed so often already, and what
    is too old stays so. A person's replay begins with a new age.
    `after_s`: when the first is due; a paced batch that follows another starts where that one ends.
    `run_wanted`: what a person asked for, as JSON: makes it a run that can be paused and taken back.
    `run_id`: a run that there is, which they join.
    `fresh`: what was made from a template is made anew from what it is now.
    Transaction: the caller's; a letter taken by another replay is left to it.
    """
    await plan_for_values(conn)
    how = (limit, actor, pace_per_s, after_s, replays_max, run_wanted, run_id, fresh)
    rows = await conn.fetch(_REPLAY, *wanted.parameters(), *how)
    for row in rows:
        await store.wake(conn, row["channel"])
    return Replayed(sum(row["count"] for row in rows), rows[0]["run_id"] if rows else None)


async def replay_one(conn: Connection, message_id: UUID, *, actor: str, fresh: bool = False) -> int:
    """Replay every dead letter of one message. Returns: how many, at least 1.

    Errors: `NotFound` for no such message, `Conflict` when it has no dead letter (any more).
    Transaction: the caller's.
    """
    wanted = DeadLetterFilter(message_ids=(message_id,))
    replayed = await replay_dead_letters(conn, wanted, actor=actor, limit=REPLAYED_MAX, fresh=fresh)
    if replayed.count:
        return replayed.count
    if await conn.fetchval(_MESSAGE_EXISTS, message_id):
        raise Conflict(f"message {message_id} has no dead letter: it was replayed already, or never died")
    raise NotFound(f"there is no message {message_id}")
