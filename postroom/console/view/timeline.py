"""A chain on one timeline: everything that happened to the messages that belong together, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from postroom.base.db import Record
from postroom.outbox.ledger.message_pages import ChainRows
from postroom.outbox.ledger.messages import LedgerEntry

TONES: Final = {
    "delivered": "good",
    "retry": "warn",
    "unknown": "warn",
    "abandoned": "warn",
    "rejected": "bad",
    "suppressed": "bad",
    "cancelled": "calm",
    "replayed": "calm",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline. `tone` is a class of the stylesheet; `detail` is what the receiver said."""

    at: datetime
    channel: str
    message_id: UUID
    n: int
    what: str
    tone: str
    text: str = ""
    detail: str | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Next:
    """What a delivery that has not ended waits for."""

    channel: str
    message_id: UUID
    n: int
    destination: str
    attempts: int
    due_at: datetime | None
    parked: bool
    under_way: bool
    reason: str | None


def moments(chain: Sequence[LedgerEntry], rows: ChainRows, topics: Mapping[UUID, str]) -> list[Moment]:
    """Publications, attempts and deaths, oldest first. `topics`: what stands for a type that is missing."""
    found = [_published(entry, entry.type or topics.get(entry.id, "")) for entry in chain]
    found += [_attempted(row) for row in rows.attempts]
    found += [_died(row) for row in rows.letters]
    # What a transaction publishes has one time: the order of ids is the order of causes.
    return sorted(found, key=lambda m: (m.at, m.message_id, m.n))


def nexts(rows: ChainRows) -> list[Next]:
    return [
        Next(
            channel=row["channel"],
            message_id=row["message_id"],
            n=row["n"],
            destination=row["destination"],
            attempts=row["attempts"],
            due_at=row["due_at"],
            parked=row["parked"],
            under_way=row["worker"] is not None,
            reason=row["last_reason"],
        )
        for row in rows.deliveries
    ]


def _published(entry: LedgerEntry, topic: str) -> Moment:
    what = "received" if entry.channel == "stripe" else "published"
    fan_out = f", to {entry.deliveries} receivers" if entry.deliveries != 1 else ""
    return Moment(entry.created_at, entry.channel, entry.id, -1, what, "calm", f"{topic}{fan_out}")


def _attempted(row: Record) -> Moment:
    words = [w for w in (row["code"], row["reason"]) if w]
    outcome = row["outcome"]
    number = f"attempt {row['attempt']}: " if outcome not in ("replayed", "cancelled") else ""
    return Moment(
        at=row["ended_at"],
        channel=row["channel"],
        message_id=row["message_id"],
        n=row["n"],
        what=number + ("to try again" if outcome == "retry" else outcome),
        tone=TONES.get(outcome, "calm"),
        text=" · ".join(words),
        detail=row["detail"],
        duration_ms=row["duration_ms"],
    )


def _died(row: Record) -> Moment:
    return Moment(
        at=row["died_at"],
        channel=row["channel"],
        message_id=row["message_id"],
        n=row["n"],
        what=f"dead, cause {row['cause']}",
        tone="bad",
        text=row["reason"],
    )
