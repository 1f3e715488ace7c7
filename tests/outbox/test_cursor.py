"""The cursor moves forward only, for first attempts and for retries each on its own."""

from __future__ import annotations

from postroom.outbox.cursor import START, Cursor
from tests.factories.claims import make_claim

NOON = 1_767_268_800.0

FIRST = [make_claim(state="pending", due_s=NOON + n, seq=n) for n in range(3)]
RETRY = [make_claim(state="retry", due_s=NOON + 3_600 * n, seq=n) for n in range(3)]


def test_it_stands_behind_the_last_claim_of_each_kind() -> None:
    cursor = START.after([*FIRST, RETRY[0]])
    assert cursor == Cursor(first=(FIRST[2].due_s, 2), retry=(NOON, 0))
    assert cursor.after([]) == cursor


def test_it_never_goes_back() -> None:
    near, far = START.after(FIRST[:1]), START.after(FIRST)
    assert near.advanced_to(far) == far
    assert far.advanced_to(near) == far


def test_one_kind_can_stay_while_the_other_moves() -> None:
    far = START.after([*FIRST, *RETRY])
    assert START.advanced_to(far, retry=False) == Cursor(first=far.first)
    assert START.advanced_to(far, first=False) == Cursor(retry=far.retry)
