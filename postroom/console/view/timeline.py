"""A chain on one timeline: everything that happened to the messages that belong together, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from postroom.outbox.ledger.dead_letters import DeadLetter
from postroom.outbox.ledger.messages import LedgerEntry
from postroom.outbox.ledger.story import AttemptEntry, EmailEvent, Happenings

TONES: Final = {
    "delivered": "good",
    "retry": "warn",
    "unknown": "warn",
    "abandoned": "warn",
    "rejected": "bad",
    "suppressed": "bad",
    "cancelled": "calm",
    "replayed": "calm",
    "deferred": "warn",
    "bounced": "bad",
    "complained": "bad",
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
    destination: str | None = None


def moments(chain: Sequence[LedgerEntry], happened: Happenings, topics: Mapping[UUID, str]) -> list[Moment]:
    """Publications, attempts, deaths and what providers tell, oldest first.

    `topics`: what stands for a type that is missing.
    """
    found = [_published(entry, entry.type or topics.get(entry.id, "")) for entry in chain]
    found += [_attempted(each) for each in happened.attempts]
    found += [_died(each) for each in happened.dead_letters]
    found += [_told(each) for each in happened.email_events]
    # What a transaction publishes has one time: the order of ids is the order of causes.
    return sorted(found, key=lambda m: (m.at, m.message_id, m.n))


def _published(entry: LedgerEntry, topic: str) -> Moment:
    what = "received" if entry.channel == "stripe" else "published"
    fan_out = f", to {entry.deliveries} receivers" if entry.deliveries != 1 else ""
    return Moment(entry.created_at, entry.channel, entry.id, -1, what, "calm", f"{topic}{fan_out}")


def _attempted(attempt: AttemptEntry) -> Moment:
    words = [w for w in (attempt.code, attempt.reason) if w]
    words += [f"via {attempt.route}"] if attempt.route else []
    words += [f"id {attempt.provider_id}"] if attempt.provider_id else []
    outcome = attempt.outcome
    number = f"attempt {attempt.attempt}: " if outcome not in ("replayed", "cancelled") else ""
    return Moment(
        at=attempt.ended_at,
        channel=attempt.channel,
        message_id=attempt.message_id,
        n=attempt.n,
        what=number + ("to try again" if outcome == "retry" else outcome),
        tone=TONES.get(outcome, "calm"),
        text=" · ".join(words),
        detail=attempt.detail,
        duration_ms=attempt.duration_ms,
        destination=attempt.destination if attempt.destination != attempt.channel else None,
    )


def _died(letter: DeadLetter) -> Moment:
    return Moment(
        at=letter.died_at,
        channel=letter.channel,
        message_id=letter.message_id,
        n=letter.n,
        what=f"dead, cause {letter.cause}",
        tone="bad",
        text=letter.reason,
    )


def _told(event: EmailEvent) -> Moment:
    return Moment(
        at=event.at,
        channel="email",
        message_id=event.message_id,
        n=0,
        what=f"{event.provider}: {event.kind}{' for good' if event.permanent else ''}",
        tone=TONES.get(event.kind, "calm"),
        text=" · ".join(word for word in (event.recipient, event.reason) if word),
    )
