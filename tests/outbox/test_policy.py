"""Every row of the state table is one test."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.outbox.model import (
    Abandoned,
    Cause,
    Deferred,
    Delivered,
    Outcome,
    Rejected,
    RetryLater,
    Suppressed,
    Unknown,
    Wait,
)
from postroom.outbox.policy import RETRY_AFTER_MAX_S, Verdict, fingerprint, settle
from postroom.resilience.backoff import Exponential, Schedule

BACKOFF = Exponential(attempts_max=3, base_s=8, cap_s=100, floor_s=1)
LAST = 2
"""Attempts spent before the last one."""


@pytest.mark.parametrize(
    ("outcome", "attempts", "verdict", "label", "cause"),
    [
        (Delivered(), 0, Verdict.DELIVERED, "delivered", None),
        (Delivered(), LAST, Verdict.DELIVERED, "delivered", None),
        (RetryLater("x"), 0, Verdict.RETRY, "retry", None),
        (RetryLater("x"), LAST, Verdict.DEAD, "retry", Cause.PASSING),
        (RetryLater("x", cause=Cause.OURS), LAST, Verdict.DEAD, "retry", Cause.OURS),
        (Rejected("x"), 0, Verdict.DEAD, "rejected", Cause.PERMANENT),
        (Rejected("x", cause=Cause.OURS), 0, Verdict.DEAD, "rejected", Cause.OURS),
        (Suppressed("x"), 0, Verdict.DEAD, "suppressed", Cause.PERMANENT),
        (Unknown("x"), 0, Verdict.RETRY, "unknown", None),
        (Unknown("x"), LAST, Verdict.DEAD, "unknown", Cause.PASSING),
        (Abandoned(), 0, Verdict.RETRY, "abandoned", None),
        (Abandoned(), LAST, Verdict.DEAD, "abandoned", Cause.OURS),
        (Deferred(Wait.CIRCUIT_OPEN, "x"), LAST, Verdict.DEFERRED, "circuit_open", None),
        (Deferred(Wait.DESTINATION_FULL, "x"), LAST, Verdict.DEFERRED, "destination_full", None),
        (Deferred(Wait.PARKED, "x"), LAST, Verdict.DEFERRED, "parked", None),
    ],
)
def test_an_outcome_leads_to_the_next_state(
    outcome: Outcome, attempts: int, verdict: Verdict, label: str, cause: Cause | None
) -> None:
    settlement = settle(outcome, attempts=attempts, backoff=BACKOFF, jitter=0.5)
    assert (settlement.verdict, settlement.outcome, settlement.cause) == (verdict, label, cause)


@pytest.mark.parametrize(
    ("after_s", "least_s", "most_s"),
    [
        (0, 300, 300),  # sooner than the schedule: the schedule holds, or eight attempts go in eight seconds
        (1, 300, 300),
        (400, 400, 440),
        (7_200, 7_200, 7_920),
        (1e9, RETRY_AFTER_MAX_S, 1.1 * RETRY_AFTER_MAX_S),
    ],
)
def test_a_receivers_wish_makes_a_delay_longer_and_never_shorter(
    after_s: float, least_s: float, most_s: float
) -> None:
    backoff = Schedule((300.0, 600.0), spread=0.0)
    for jitter in (0.0, 0.5, 0.999):
        settlement = settle(RetryLater("x", after_s=after_s), attempts=0, backoff=backoff, jitter=jitter)
        assert least_s <= settlement.delay_s <= most_s


def test_those_who_were_told_the_same_time_do_not_come_back_together() -> None:
    backoff = Schedule((5.0,))
    delays = {
        settle(RetryLater("x", after_s=60), attempts=0, backoff=backoff, jitter=jitter).delay_s
        for jitter in (0.1, 0.2, 0.9)
    }
    assert len(delays) == 3


def test_what_is_parked_waits_for_a_person() -> None:
    assert settle(Deferred(Wait.PARKED, "x"), attempts=0, backoff=BACKOFF, jitter=0.1).delay_s == inf


def test_an_abandoned_delivery_is_due_at_once() -> None:
    assert settle(Abandoned(), attempts=0, backoff=BACKOFF, jitter=0.9).delay_s == 0


@given(st.integers(1, 500), st.floats(0, 1, exclude_max=True))
def test_exponential_delays_stay_between_floor_and_cap(attempt: int, jitter: float) -> None:
    assert 1 <= BACKOFF.delay_s(attempt, jitter) <= min(100, max(1, 8 * 2.0 ** min(attempt - 1, 40)))


@given(st.integers(1, 500), st.floats(0, 1, exclude_max=True))
def test_a_schedule_follows_its_steps_within_the_spread(attempt: int, jitter: float) -> None:
    schedule = Schedule((5, 300, 1800))
    step = (5, 300, 1800)[min(attempt, 3) - 1]
    assert schedule.attempts_max == 4
    assert 0.8 * step <= schedule.delay_s(attempt, jitter) <= 1.2 * step


def test_failures_of_one_kind_have_one_fingerprint() -> None:
    one = fingerprint("email", "550", "mailbox 'ada@example.com' unknown (id 4711)")
    same = fingerprint("email", "550", "mailbox 'bob@example.com' unknown (id 12)")
    assert one == same
    assert one != fingerprint("email", "552", "mailbox 'ada@example.com' unknown (id 4711)")
    assert one != fingerprint("webhook", "550", "mailbox 'ada@example.com' unknown (id 4711)")


def test_what_a_receiver_said_is_made_fit_for_the_database() -> None:
    for outcome in (
        Delivered(detail="a\x00b\ud800"),
        Rejected("a\x00b\ud800"),
        RetryLater("x", detail="\x00" * 9),
    ):
        settlement = settle(outcome, attempts=0, backoff=BACKOFF, jitter=0.5)
        said = f"{settlement.reason}{settlement.detail}"
        assert "\x00" not in said
        assert said.encode()


@pytest.mark.parametrize("attempts", [0, LAST])
@pytest.mark.parametrize(
    "outcome",
    [
        Delivered(content_hash=b"h"),
        Rejected("no", content_hash=b"h"),
        RetryLater("later", content_hash=b"h"),
        Unknown("perhaps", content_hash=b"h"),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
def test_what_an_attempt_was_made_from_is_settled_with_it(outcome: Outcome, attempts: int) -> None:
    assert settle(outcome, attempts=attempts, backoff=BACKOFF, jitter=0.5).content_hash == b"h"
