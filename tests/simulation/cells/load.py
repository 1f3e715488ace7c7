"""How tenants' loads spread over slots and cells, and what moving slots makes of it. No time passes here."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.simulation.cells.model import CellId, Slot

TAIL: Final = 1.2
"""Pareto's exponent: of a million tenants the largest hundredth has two fifths of the load."""


def slot_of(tenant: str, slots: int) -> Slot:
    """`postroom.ledgers.directory` has it for 1,024. More slots, a power of two, are parts of those."""
    return zlib.crc32(tenant.encode()) % slots


def tenants(count: int, random: Random, *, share_max: float = 1.0) -> dict[str, float]:
    """Each tenant's part of the whole; none has more than `share_max`."""
    loads = [random.paretovariate(TAIL) for _ in range(count)]
    most = share_max * sum(loads)
    loads = [min(load, most) for load in loads]
    whole = sum(loads)
    return {f"tenant-{n}": load / whole for n, load in enumerate(loads)}


def a_day_later(loads: Mapping[str, float], random: Random, *, sigma: float) -> dict[str, float]:
    """Each tenant by itself has grown or shrunk, by a factor of about 1 + `sigma`."""
    return {tenant: load * random.lognormvariate(0, sigma) for tenant, load in loads.items()}


def by_slot(loads: Mapping[str, float], slots: int, named: Sequence[str] = ()) -> list[float]:
    """The load of each slot, and behind them of each tenant that is named and so moves by itself."""
    places = {tenant: slots + n for n, tenant in enumerate(named)}
    whole = [0.0] * (slots + len(named))
    for tenant, load in loads.items():
        place = places.get(tenant)
        whole[slot_of(tenant, slots) if place is None else place] += load
    return whole


@dataclass(slots=True)
class Placement:
    """Slots on cells of one size. `peak()` is 1 where all have the same."""

    slots: list[float]
    cells: int
    owners: list[CellId]

    @classmethod
    def even(cls, slots: Sequence[float], cells: int) -> Placement:
        """As many slots for each cell, whatever is in them: what is installed first."""
        return cls(list(slots), cells, [slot % cells for slot in range(len(slots))])

    def loads(self) -> list[float]:
        loads = [0.0] * self.cells
        for slot, owner in enumerate(self.owners):
            loads[owner] += self.slots[slot]
        return loads

    def peak(self) -> float:
        loads = self.loads()
        return max(loads) / (sum(loads) / self.cells)

    def rebalance(self, peak: float) -> int:
        """Move slots from the fullest cell to the emptiest until none is above `peak`; how many moved.

        The largest slot that leaves the target below the mean goes first; where none does, the cell stays.
        """
        loads, held = self.loads(), self._held()
        mean = sum(loads) / self.cells
        full = [(-load, cell) for cell, load in enumerate(loads) if load > peak * mean]
        empty = [(load, cell) for cell, load in enumerate(loads)]
        heapq.heapify(full)
        heapq.heapify(empty)
        moved = 0
        while full:
            load, cell = heapq.heappop(full)
            if -load != loads[cell]:
                continue
            least, target = heapq.heappop(empty)
            while least != loads[target]:
                least, target = heapq.heappop(empty)
            fitting = [slot for slot in held[cell] if loads[target] + self.slots[slot] <= mean]
            if fitting and len(held[cell]) > 1:
                slot = max(fitting, key=self.slots.__getitem__)
                held[cell].remove(slot)
                held[target].append(slot)
                self.owners[slot] = target
                loads[cell] -= self.slots[slot]
                loads[target] += self.slots[slot]
                moved += 1
                heapq.heappush(empty, (loads[cell], cell))
                if loads[cell] > peak * mean:
                    heapq.heappush(full, (-loads[cell], cell))
            heapq.heappush(empty, (loads[target], target))
        return moved

    def _held(self) -> list[list[Slot]]:
        held: list[list[Slot]] = [[] for _ in range(self.cells)]
        for slot, owner in enumerate(self.owners):
            held[owner].append(slot)
        return held
