"""Moves of a tenant among three ledgers: nothing lost, nothing doubled, in order, and one ledger at a time.

`POSTROOM_TEST_MOVE_SEEDS=10000` is the long form. A failure names its seed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

from tests.conftest import SUMMARY
from tests.simulation.moves import Simulation

RUNS = int(os.environ.get("POSTROOM_TEST_MOVE_SEEDS", "400"))
FIRST = int(os.environ.get("POSTROOM_TEST_MOVE_FIRST", "1"))


@pytest.mark.timeout(3600)
def test_moves_lose_double_and_reorder_nothing(record_property: Callable[[str, object], None]) -> None:
    seen: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + RUNS):
        simulation = Simulation(seed)
        try:
            simulation.run()
        except AssertionError as broken:
            pytest.fail(f"seed {seed}: {broken}")
        seen += simulation.seen
    told = ", ".join(f"{name} {count:,}" for name, count in sorted(seen.items()))
    record_property(SUMMARY, f"{RUNS:,} interleavings: {told}")
    assert seen.keys() >= {"moved", "killed", "aborted", "elsewhere", "serialization", "known", "StillOpen"}


@pytest.mark.parametrize("fault", ["no hold", "no delta", "no wait", "no snapshot check"])
def test_what_is_left_out_is_noticed(fault: str) -> None:
    """The simulation would see it: each part of the design is needed."""
    for seed in range(1, 2_000):
        try:
            Simulation(seed, frozenset({fault})).run()
        except AssertionError:
            return
    pytest.fail("nobody noticed")
