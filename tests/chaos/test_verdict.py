"""The comparison must see each kind of failure: one planted fault a test."""

from __future__ import annotations

import json

from chaos.journal import Entry, Fate, Journal
from chaos.plan import Kind, make_plan
from chaos.report import RecoveryTime, Report, failures
from chaos.verdict import Arrival, Comparison, compare

KEYS = [
    "published", "delivered", "lost", "duplicates", "phantoms", "dead_unexplained", "unknown_surfaced",
    "ledger_drift", "faults", "recovery_s", "writes_stopped_s", "tasks", "ticks_expected", "ticks_seen",
    "ticks_wrong", "seed",
]  # fmt: skip


def entry(token: str, fate: Fate = Fate.COMMITTED) -> Entry:
    return Entry(token, "sql", "email", token, frozenset({"email"}), fate)


def judged(*arrivals: Arrival, fate: Fate = Fate.COMMITTED, cut: int = 0) -> Comparison:
    return compare({"a": entry("a", fate)}, arrivals, {("id-a", "email"): cut})


ARRIVED = Arrival("a", "email", "id-a")


def failed(report: Report, comparison: Comparison, *, length_s: float = 60) -> list[str]:
    return failures(report, comparison, length_s=length_s)


def report(**changes: int) -> Report:
    values = dict.fromkeys((*KEYS[1:8], *KEYS[12:15]), 0) | changes
    never = RecoveryTime(0.0, 0.0)
    counted = {"published": 1} | values
    return Report(**counted, faults={}, recovery_s=never, writes_stopped_s={}, tasks={}, seed=1)


def test_what_arrived_once_is_in_order() -> None:
    comparison = judged(ARRIVED)
    assert (comparison.published, comparison.delivered, comparison.duplicates) == (1, 1, 0)
    assert not comparison.lost
    assert not comparison.phantoms
    assert failed(report(), comparison) == []


def test_what_was_committed_and_did_not_arrive_is_lost() -> None:
    assert judged().lost == ("a at email",)


def test_what_was_rolled_back_and_arrived_is_a_phantom() -> None:
    assert judged(ARRIVED, fate=Fate.ROLLED_BACK).phantoms == ("a at email",)


def test_what_nobody_published_is_a_phantom() -> None:
    assert judged(ARRIVED, Arrival("b", "email", "id-b")).phantoms == ("b at email",)


def test_a_second_copy_under_another_id_is_a_phantom() -> None:
    assert judged(ARRIVED, Arrival("a", "email", "other")).phantoms == ("a at email under 2 ids",)


def test_a_duplicate_needs_an_attempt_that_was_cut() -> None:
    assert judged(ARRIVED, ARRIVED, cut=1).duplicates_unexplained == ()
    comparison = judged(ARRIVED, ARRIVED, ARRIVED, cut=1)
    assert comparison.duplicates == 2
    assert len(comparison.duplicates_unexplained) == 1
    assert failed(report(duplicates=2), comparison)


def test_each_number_that_must_be_zero_fails_the_run() -> None:
    for name in ("lost", "phantoms", "dead_unexplained", "ledger_drift", "ticks_wrong"):
        assert failed(report(**{name: 1}), judged(ARRIVED)) == [f"{name} = 1"]
    assert failed(report(published=0), judged(ARRIVED))


def test_a_run_of_minutes_must_have_had_minutes_of_its_schedule() -> None:
    assert failed(report(), judged(ARRIVED), length_s=180) == [
        "only 0 minutes of the schedule were due in 180 s"
    ]
    assert failed(report(ticks_expected=2), judged(ARRIVED), length_s=180) == []


def test_the_last_line_has_the_keys_of_the_contract_in_order() -> None:
    assert list(json.loads(report().line())) == KEYS


def test_what_is_unknown_is_looked_up_and_not_guessed() -> None:
    journal = Journal()
    for token in ("there", "gone"):
        journal.open(entry(token, Fate.UNKNOWN))
    assert journal.resolve(["there"]) == 2
    assert {each.token: each.fate for each in journal.entries.values()} == {
        "there": Fate.COMMITTED,
        "gone": Fate.ROLLED_BACK,
    }


def test_one_seed_is_one_plan_and_each_kind_comes_before_any_comes_again() -> None:
    possible = list(Kind)
    plan = make_plan(7, length_s=600, possible=possible)
    assert plan == make_plan(7, length_s=600, possible=possible)
    assert plan != make_plan(8, length_s=600, possible=possible)
    rounds = len(possible) - 1  # clocks are wrong all the time
    kinds = [fault.kind for fault in plan]
    assert len(set(kinds[:rounds])) == rounds
    assert max(fault.at_s for fault in plan) <= 600
