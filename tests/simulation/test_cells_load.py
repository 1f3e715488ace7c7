"""How evenly cells are loaded: why 1,024 slots are too few for a thousand of them, and what moves do."""

from __future__ import annotations

from random import Random

import pytest

from postroom.ledgers import directory
from postroom.ledgers.directory import SLOTS
from tests.simulation.cells.load import Placement, a_day_later, by_slot, slot_of, tenants

CELLS = 1_000


@pytest.fixture(scope="module")
def loads() -> dict[str, float]:
    """No tenant has more than half of what a cell has on average."""
    return tenants(100_000, Random(1), share_max=0.5 / CELLS)


def test_more_slots_are_parts_of_those_that_there_are() -> None:
    for n in range(1_000):
        tenant = f"tenant-{n}"
        assert slot_of(tenant, 65_536) % SLOTS == directory.slot_of(tenant)


def test_a_slot_for_each_cell_leaves_nothing_to_move(loads: dict[str, float]) -> None:
    placement = Placement.even(by_slot(loads, SLOTS), CELLS)
    assert placement.peak() > 2
    assert placement.rebalance(1.25) < 10
    assert placement.peak() > 2


def test_with_64_slots_for_each_cell_a_few_moves_even_them_out(loads: dict[str, float]) -> None:
    named = [tenant for tenant, load in loads.items() if load > 0.1 / CELLS]
    placement = Placement.even(by_slot(loads, 65_536, named), CELLS)
    assert placement.peak() > 2
    whole = sum(placement.slots)
    moved = placement.rebalance(1.25)
    assert placement.peak() <= 1.3
    assert 0 < moved < len(placement.slots) / 20
    assert sum(placement.loads()) == pytest.approx(whole)

    placement.slots = by_slot(a_day_later(loads, Random(2), sigma=0.05), 65_536, named)
    assert placement.rebalance(1.25) < moved / 2
    assert placement.peak() <= 1.3


def test_a_tenant_larger_than_a_cell_is_not_moved_away() -> None:
    loads = {"large": 0.9, **{f"small-{n}": 0.001 for n in range(100)}}
    placement = Placement.even(by_slot(loads, SLOTS), 10)
    placement.rebalance(1.25)
    assert placement.peak() == pytest.approx(9.0, abs=0.01)
