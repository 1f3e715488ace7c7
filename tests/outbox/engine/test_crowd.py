"""Who crowds a lane, by what is claimed of it."""

from __future__ import annotations

from postroom.outbox.engine.crowd import CROWD_MAX, LATE_FOR_S, LATE_MIN, LATE_S, LEAVE_ROUNDS, LEAVE_S, Crowd
from postroom.outbox.model import Claim
from tests.factories.claims import NEW_YEAR_S, make_claim
from tests.fixtures.clock import DrivenClock


def crowding(crowd: Crowd) -> list[str]:
    return list(crowd.tenants)


def claims(late_s: float, /, state: str = "pending", **counts: int) -> list[Claim]:
    return [
        make_claim(tenant=tenant, state=state, claimed_s=NEW_YEAR_S, due_s=NEW_YEAR_S - late_s)
        for tenant, count in counts.items()
        for _ in range(count)
    ]


LATE = 2 * LATE_S


def late_for_long(crowd: Crowd, clock: DrivenClock, **counts: int) -> None:
    """What is claimed around those that crowd is late for as long as it takes one more to crowd."""
    crowd.note_others(claims(LATE, "pending", **counts))
    clock.advance(LATE_FOR_S)
    crowd.note_others(claims(LATE, "pending", **counts))


def test_the_largest_of_what_is_late_crowds_and_then_the_next_one() -> None:
    clock = DrivenClock()
    crowd = Crowd(clock)
    crowd.note_others(claims(LATE, a=LATE_MIN - 1))
    assert crowding(crowd) == []
    crowd.note_others(claims(LATE, b=1))
    assert crowding(crowd) == ["a"]
    crowd.note_others(claims(LATE, c=LATE_MIN))
    assert crowding(crowd) == ["a"], "what is late for a moment has only to be caught up with"
    crowd.note_others([])
    late_for_long(crowd, clock, b=LATE_MIN // 5, c=LATE_MIN)
    assert crowding(crowd) == ["a", "c"]


def test_nobody_crowds_where_no_tenant_was_ever_named() -> None:
    crowd = Crowd(DrivenClock())
    crowd.note_others(claims(LATE, "pending", **{"": 2 * LATE_MIN}))
    assert crowding(crowd) == []
    crowd.note_others(claims(0.0, b=1))
    crowd.note_others(claims(LATE, "pending", **{"": LATE_MIN}))
    assert crowding(crowd) == [""]


def test_nobody_crowds_what_is_on_time() -> None:
    crowd = Crowd(DrivenClock())
    crowd.note_others(claims(LATE, a=LATE_MIN - 1))
    crowd.note_others(claims(0.0, b=1))
    crowd.note_others(claims(LATE, a=LATE_MIN - 1))
    assert crowding(crowd) == []


def test_late_retries_crowd_though_first_attempts_are_on_time() -> None:
    crowd = Crowd(DrivenClock())
    crowd.note_others([*claims(LATE, "retry", a=LATE_MIN), *claims(0.0, b=1)])
    assert crowding(crowd) == ["a"]


def test_many_small_ones_are_too_much_together_and_none_of_them_crowds() -> None:
    crowd = Crowd(DrivenClock())
    crowd.note_others(claims(LATE, "pending", **{f"t{n}": 5 for n in range(20)}))
    assert crowding(crowd) == []


def test_no_more_than_so_many_crowd() -> None:
    clock = DrivenClock()
    crowd = Crowd(clock)
    for n in range(CROWD_MAX + 1):
        late_for_long(crowd, clock, **{f"t{n}": LATE_MIN})
    assert len(crowd.tenants) == CROWD_MAX


def test_one_without_anything_leaves_and_all_do_when_nothing_is_late() -> None:
    clock = DrivenClock()
    crowd = Crowd(clock)
    for tenant in "abc":
        late_for_long(crowd, clock, **{tenant: LATE_MIN})
    for _ in range(3 * LEAVE_ROUNDS):
        clock.advance(LEAVE_S)
        crowd.note_all(claims(LATE, a=1, c=1), whole=True)
    assert crowding(crowd) == ["a", "b", "c"], "it may not have had its turn"
    crowd.note_all(claims(LATE, a=1, c=1), whole=True)
    assert crowding(crowd) == ["a", "c"]
    crowd.note_all(claims(0.0, c=1), whole=False)
    assert crowding(crowd) == ["a", "c"], "what passes by something proves nothing"
    crowd.note_all(claims(0.0, c=1), whole=True)
    assert crowding(crowd) == []


def test_while_something_is_passed_by_nobody_crowds_after_a_while_on_time() -> None:
    """A breaker that is open for hours must not keep a tenant behind the others for as long."""
    clock = DrivenClock()
    crowd = Crowd(clock)
    crowd.note_others(claims(LATE, a=LATE_MIN))
    clock.advance(LEAVE_S)
    crowd.note_all(claims(LATE, a=1), whole=False)
    clock.advance(LEAVE_S / 2)
    crowd.note_all(claims(0.0, a=1), whole=False)
    assert crowding(crowd) == ["a"]
    clock.advance(LEAVE_S)
    crowd.note_all([], whole=False)
    assert crowding(crowd) == ["a"], "nothing was claimed, which proves nothing"
    crowd.note_all(claims(0.0, a=1), whole=False)
    assert crowding(crowd) == []
