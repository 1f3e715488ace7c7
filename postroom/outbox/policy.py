"""What an outcome leads to: pure, so that every row of the state table is one test."""

from __future__ import annotations

import hashlib
import math
import re
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from postroom.outbox.model import (
    Abandoned,
    Cause,
    Claim,
    Deferred,
    Delivered,
    Outcome,
    Rejected,
    RetryLater,
    Suppressed,
    Unknown,
    Wait,
)
from postroom.resilience.backoff import Backoff

RETRY_AFTER_MAX_S: Final = 86_400.0
AFTER_SPREAD: Final = 0.1
"""Those who were told the same moment come back up to so much later, not all at once."""
REASON_MAX: Final = 500
DETAIL_MAX: Final = 20_000

NOT_IN_TIME: Final = "not delivered in time"

DEFERRAL_S: Final = {
    Wait.CIRCUIT_OPEN: 5.0,
    Wait.DESTINATION_FULL: 1.0,
    Wait.NOT_CONFIGURED: 30.0,
    Wait.DATABASE_AWAY: 1.0,
    Wait.KEY_MISSING: 5.0,
    Wait.PARKED: float("inf"),
}


class Verdict(StrEnum):
    """Where a delivery goes next."""

    DELIVERED = "delivered"
    RETRY = "retry"
    DEFERRED = "deferred"
    DEAD = "dead"


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """The next state of one delivery. `outcome` is what the attempt log and the counters say of it."""

    verdict: Verdict
    outcome: str
    delay_s: float = 0.0
    reason: str | None = None
    code: str | None = None
    detail: str | None = None
    cause: Cause | None = None
    content_hash: bytes | None = None


_DELIVERED: Final = Settlement(Verdict.DELIVERED, "delivered")


def delivered(
    code: str | None = None, detail: str | None = None, content_hash: bytes | None = None
) -> Settlement:
    """The end that nearly all deliveries come to, so it is one object wherever it can be."""
    if code is None and detail is None and content_hash is None:
        return _DELIVERED
    return Settlement(
        Verdict.DELIVERED, "delivered", code=code, detail=_cut(detail), content_hash=content_hash
    )


def settle(outcome: Outcome, *, attempts: int, backoff: Backoff, jitter: float) -> Settlement:
    """The next state after `outcome`; `attempts` were spent before it, `jitter` is in [0, 1).

    An attempt is spent by everything but `Deferred`. After `backoff.attempts_max` it is dead.
    """
    match outcome:
        case Delivered(code, detail, made_from):
            return delivered(code, detail, made_from)
        case Rejected(reason, code, detail, cause, made_from):
            return _dead("rejected", reason, cause, code, detail, made_from=made_from)
        case Suppressed(reason):
            return _dead("suppressed", reason, Cause.PERMANENT)
        case Deferred(wait, reason, after_s):
            delay_s = DEFERRAL_S[wait] if after_s is None else after_s
            return Settlement(
                Verdict.DEFERRED, wait, delay_s * (0.75 + jitter / 2), _text(reason, REASON_MAX)
            )
        case RetryLater(reason, after_s, code, detail, cause, content_hash=made_from):
            if attempts + 1 >= backoff.attempts_max:
                return _dead("retry", reason, cause, code, detail, made_from=made_from)
            delay_s = backoff.delay_s(attempts + 1, jitter)
            if after_s is not None:
                # A wish makes it later, never sooner: "in one second" must not spend eight attempts in eight.
                delay_s = max(delay_s, min(after_s, RETRY_AFTER_MAX_S) * (1.0 + AFTER_SPREAD * jitter))
            return _retry("retry", reason, delay_s, code, detail, made_from=made_from)
        case Unknown(reason, code, detail, made_from):
            if attempts + 1 >= backoff.attempts_max:
                return _dead("unknown", reason, Cause.PASSING, code, detail, made_from=made_from)
            return _retry(
                "unknown", reason, backoff.delay_s(attempts + 1, jitter), code, detail, made_from=made_from
            )
        case Abandoned(reason):
            if attempts + 1 >= backoff.attempts_max:
                return _dead("abandoned", reason, Cause.OURS)
            return _retry("abandoned", reason, 0.0)
        case _:
            assert_never(outcome)


def left_s(claim: Claim, age_max_s: float) -> float:
    """Seconds that a delivery had left when it was claimed: until its channel's greatest age, or what its
    publisher named, whichever comes first. Infinite for what was claimed to be settled only."""
    if claim.claimed_s is None:
        return math.inf
    left = age_max_s - (claim.claimed_s - (claim.since_s or claim.created_s))
    return left if claim.expires_s is None else min(left, claim.expires_s - claim.claimed_s)


EXPIRED: Final = Settlement(Verdict.DEAD, "expired", reason=NOT_IN_TIME, cause=Cause.EXPIRED)
"""What was not delivered in its time. No attempt is spent, and settling adds what it waited for last."""


def within(settlement: Settlement, left_s: float) -> Settlement:
    """What becomes of a delivery with so much time left. A retry that would come too late is not made."""
    if settlement.verdict is Verdict.RETRY and settlement.delay_s >= left_s:
        reason = f"{NOT_IN_TIME}: {settlement.reason}"[:REASON_MAX]
        return msgspec.structs.replace(
            settlement, verdict=Verdict.DEAD, delay_s=0.0, reason=reason, cause=Cause.EXPIRED
        )
    # Parked ones have a limit of their own, and nobody claims them: the sweep finds them.
    if settlement.verdict is Verdict.DEFERRED and left_s <= 0 and settlement.outcome != Wait.PARKED:
        return EXPIRED
    return settlement


def _dead(
    outcome: str,
    reason: str,
    cause: Cause,
    code: str | None = None,
    detail: str | None = None,
    *,
    made_from: bytes | None = None,
) -> Settlement:
    said = _text(reason, REASON_MAX)
    return Settlement(Verdict.DEAD, outcome, 0.0, said, code, _cut(detail), cause, made_from)


def _retry(
    outcome: str,
    reason: str,
    delay_s: float,
    code: str | None = None,
    detail: str | None = None,
    *,
    made_from: bytes | None = None,
) -> Settlement:
    said = _text(reason, REASON_MAX)
    return Settlement(Verdict.RETRY, outcome, delay_s, said, code, _cut(detail), None, made_from)


def _cut(detail: str | None) -> str | None:
    return None if detail is None else _text(detail, DETAIL_MAX)


def _text(text: str, characters_max: int) -> str:
    """What a receiver said, fit for the database: one NUL must not keep a whole batch from settling."""
    cut = text[:characters_max].replace("\x00", "\ufffd")
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()


_VARIABLE = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|\b[0-9a-f]{12,}\b|\d+", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


def fingerprint(channel: str, code: str | None, reason: str) -> str:
    """One short name for failures of one kind: numbers, ids and quoted values do not count."""
    shape = _VARIABLE.sub("#", _QUOTED.sub("?", reason)).lower()
    return hashlib.sha256(f"{channel}|{code or ''}|{shape}".encode()).hexdigest()[:12]
