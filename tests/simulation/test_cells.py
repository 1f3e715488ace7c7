"""The design of docs/explanation/cells.md keeps its promises, and each rule that is taken away is missed."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice

import pytest

from tests.simulation.cells.model import Rules
from tests.simulation.cells.world import Plan, World

SEEDS = int(os.environ.get("POSTROOM_TEST_CELLS_SEEDS", "60"))
"""Runs of a small world. 2,000 take two minutes."""

SMALL = Plan(
    cells=4,
    slots=8,
    tenants=12,
    outboxes=3,
    rows=250,
    seconds=90,
    moves=40,
    failovers=8,
    forwarder_crashes=12,
)
LARGE = Plan(
    cells=1_000, slots=65_536, tenants=20_000, outboxes=200, rows=12_000,
    seconds=60, moves=1_000, failovers=50, forwarder_crashes=200,
)  # fmt: skip
ONE_CELL_IS_DOWN = Plan(
    cells=20, slots=200, tenants=4_000, outboxes=2, rows=12_000, seconds=60, moves=0, failovers=1,
    forwarder_crashes=0, down_s=(60.0, 60.0), network_faults=False,
)  # fmt: skip
BROKEN = {
    "cell_checks_owner": "fence",
    "fence_waits_for_writers": "fence",
    "cell_compares_epochs": "fence",
    "cell_knows_keys": "doubled",
    "move_carries_keys": "doubled",
    "keys_are_read_behind_the_fence": "doubled",
    "target_waits_for_source": "order",
    "stream_waits_for_acknowledgement": "order",
    "standby_is_synchronous": "lost",
    "row_stays_until_acknowledged": "lost",
}


@pytest.mark.timeout(60 + SEEDS)
def test_in_small_worlds_where_much_collides_nothing_is_lost_doubled_or_out_of_order() -> None:
    for seed in range(SEEDS):
        world = World(SMALL, seed=seed).run()
        assert list(world.faults()) == [], f"seed {seed}"


def test_a_thousand_cells_keep_the_same_promises() -> None:
    world = World(LARGE, seed=1).run()
    assert list(world.faults()) == []
    assert world.directory.moved > 900


@pytest.mark.parametrize(("rule", "check"), BROKEN.items())
def test_without_a_rule_its_check_fails(rule: str, check: str) -> None:
    rules = replace(Rules(), **{rule: False})
    runs = (World(SMALL, seed=seed, rules=rules).run() for seed in range(100))
    found = (fault for run in runs for fault in run.faults() if fault.startswith(check))
    assert list(islice(found, 1)), f"100 seeds without {rule}, and no fault of {check}"


def test_a_cell_that_is_down_holds_up_its_own_tenants_only() -> None:
    world = World(ONE_CELL_IS_DOWN, seed=1).run()
    assert list(world.faults()) == []


def test_without_places_for_each_cell_one_that_is_down_holds_up_the_others() -> None:
    world = World(ONE_CELL_IS_DOWN, seed=1, rules=Rules(places_per_cell=False)).run()
    assert any(fault.startswith("spread") for fault in world.faults())
