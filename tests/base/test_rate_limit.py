"""How often a client may fail to log in."""

from __future__ import annotations

from postroom.base.rate_limit import NAMES_MAX, WINDOW_S, RateLimiter
from tests.fixtures.clock import DrivenClock


def limiter() -> tuple[RateLimiter, DrivenClock]:
    clock = DrivenClock()
    return RateLimiter(clock=clock, count_max=3), clock


def test_a_client_waits_after_too_many_failures_and_may_try_again_later() -> None:
    failures, clock = limiter()
    assert [failures.record("a") for _ in range(4)] == [True, True, True, False]
    clock.advance(10)
    assert failures.wait_s("a") == 50
    clock.advance(WINDOW_S - 10)
    assert failures.wait_s("a") == 0


def test_clients_are_counted_apart() -> None:
    failures, _ = limiter()
    for _ in range(5):
        failures.record("a")
    assert failures.wait_s("a") > 0
    assert failures.wait_s("b") == 0


def test_it_remembers_a_limited_number_of_clients() -> None:
    failures, _ = limiter()
    for number in range(NAMES_MAX + 10):
        failures.record(str(number))
    assert len(failures._windows) == NAMES_MAX
