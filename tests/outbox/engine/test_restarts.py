"""Claiming goes back to the beginning often enough to miss nothing, and seldom enough to cost little."""

from __future__ import annotations

from postroom.outbox.engine.restarts import RestartPace, Restarts
from tests.fixtures.clock import DrivenClock

PACE = RestartPace(every_s=5.0, pause_claims=20.0)


def restarts() -> tuple[Restarts, DrivenClock]:
    clock = DrivenClock()
    return Restarts(clock=clock, pace=PACE), clock


def test_it_is_overdue_after_a_while_whatever_happens() -> None:
    each, clock = restarts()
    each.claimed_from_start(0.2, blocked=True)
    clock.advance(5.0)
    assert not each.overdue
    clock.advance(0.1)
    assert each.overdue
    each.restarted()
    assert not each.overdue


def test_what_is_cheap_may_be_read_again_at_once() -> None:
    each, _ = restarts()
    assert each.affordable
    each.claimed_from_start(3.0, blocked=False)
    assert each.affordable


def test_reading_what_is_blocked_takes_a_twentieth_of_the_time() -> None:
    each, clock = restarts()
    each.claimed_from_start(0.1, blocked=True)
    clock.advance(1.9)
    assert not each.affordable
    clock.advance(0.1)
    assert each.affordable


def test_no_pause_is_longer_than_the_regular_restart() -> None:
    each, clock = restarts()
    each.claimed_from_start(60.0, blocked=True)
    clock.advance(5.0)
    assert each.affordable
