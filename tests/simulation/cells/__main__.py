"""The figures of docs/explanation/cells.md: `python -m tests.simulation.cells`, a minute or two."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from statistics import quantiles

from tests.simulation.cells.load import Placement, a_day_later, by_slot, tenants
from tests.simulation.cells.world import World
from tests.simulation.test_cells import LARGE

CELLS, TENANTS, DAYS = 1_000, 1_000_000, 5
PEAKS = (2.0, 1.5, 1.25)
HALF_A_CELL, TENTH_OF_A_CELL = 0.5 / CELLS, 0.1 / CELLS


def named(loads: Mapping[str, float]) -> list[str]:
    return [tenant for tenant, load in loads.items() if load > TENTH_OF_A_CELL]


def placements(share_max: float) -> None:
    loads = tenants(TENANTS, Random(1), share_max=share_max)
    large = named(loads)
    half = sum(load > HALF_A_CELL for load in loads.values())
    print(f"largest: {max(loads.values()) * CELLS:.1f} cells; {half} above half of one; {len(large)} named")
    for slots in (1_024, 4_096, 16_384, 65_536):
        for names in ([], large):
            placement = Placement.even(by_slot(loads, slots, names), CELLS)
            line, moved = f"{slots:>7} slots, {len(names):>3} named: {placement.peak():.2f}", 0
            for peak in PEAKS:
                moved += placement.rebalance(peak)
                line += f"; {moved} moves for {peak}: {placement.peak():.2f}"
            print(line)


def days(sigma: float) -> None:
    random = Random(1)
    loads = tenants(TENANTS, random, share_max=HALF_A_CELL)
    names = named(loads)
    placement = Placement.even(by_slot(loads, 65_536, names), CELLS)
    line = f"{sigma:.0%} a day: {placement.rebalance(1.25)} moves at first, then"
    for _ in range(DAYS):
        loads = a_day_later(loads, random, sigma=sigma)
        placement.slots = by_slot(loads, 65_536, names)
        before = placement.peak()
        line += f" {placement.rebalance(1.25)} ({before:.2f} to {placement.peak():.2f})"
    print(line)


def large() -> None:
    world = World(LARGE, seed=1).run()
    evidence = world.evidence
    waits = [evidence.stored[key][0][1] - row.committed_at for key, row in evidence.committed.items()]
    cuts = quantiles(waits, n=1_000)
    print(
        f"{LARGE.cells} cells, {len(waits)} rows, {world.directory.moved} moves, "
        f"{len(world.failed)} fail-overs: accepted after {cuts[499] * 1_000:.0f} ms (p50), "
        f"{cuts[989]:.1f} s (p99), {max(waits):.0f} s at most; faults: {list(world.faults())}"
    )


if __name__ == "__main__":
    placements(share_max=1)
    placements(share_max=HALF_A_CELL)
    days(0.05)
    days(0.1)
    large()
