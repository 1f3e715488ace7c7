"""Applications, forwarders and cells under load and faults, and the verdict over what became of each row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from tests.simulation.cells.cell import Cell
from tests.simulation.cells.forwarder import Forwarder, Outbox
from tests.simulation.cells.load import slot_of, tenants
from tests.simulation.cells.model import Evidence, Row, Rules, Stream
from tests.simulation.cells.mover import Directory, Move
from tests.simulation.cells.network import Network

DOWN_MIN_S: Final = 5.0
DOWN_MAX_S: Final = 20.0
"""How long a fail-over takes: docs/reliability.md has the measured times."""
QUIET_S: Final = 300.0
"""How long after the last fault everything must have arrived."""
NOTICED_S: Final = 5.0
"""What an acceptance may take where nothing is broken but other cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How large, for how long, and how much breaks."""

    cells: int
    slots: int
    tenants: int
    outboxes: int
    rows: int
    seconds: float
    moves: int
    failovers: int
    forwarder_crashes: int
    down_s: tuple[float, float] = (DOWN_MIN_S, DOWN_MAX_S)
    network_faults: bool = True


class World:
    """One run. `faults()` is its verdict."""

    def __init__(self, plan: Plan, *, seed: int, rules: Rules | None = None) -> None:
        self.plan, self.rules = plan, rules or Rules()
        self.network = Network(seed)
        self.network.faulty = plan.network_faults
        self.evidence = Evidence()
        owners = [slot % plan.cells for slot in range(plan.slots)]
        self.directory = Directory(owners)
        self.cells = [
            Cell(n, network=self.network, rules=self.rules, evidence=self.evidence) for n in range(plan.cells)
        ]
        for slot, cell in enumerate(owners):
            self.cells[cell].owns(slot, 1)
        self.outboxes = [Outbox() for _ in range(plan.outboxes)]
        self.failed: set[int] = set()
        self._numbers: dict[Stream, int] = {}

    def run(self) -> World:
        for outbox in self.outboxes:
            self._start_forwarder(outbox)
        self._plan_rows()
        plan, random = self.plan, self.network.random
        for _ in range(plan.moves):
            self.network.after(random.uniform(0, plan.seconds), self._move)
        for _ in range(plan.failovers):
            self.network.after(random.uniform(0, plan.seconds), self._fail_over)
        for _ in range(plan.forwarder_crashes):
            self.network.after(random.uniform(0, plan.seconds), self._crash)
        self.network.run(plan.seconds)
        self.network.faulty = False
        self.network.run(plan.seconds + QUIET_S)
        return self

    def faults(self) -> Iterator[str]:
        """Every promise that was broken, one line each."""
        evidence = self.evidence
        for key in evidence.committed:
            times = len(evidence.stored.get(key, ()))
            if times != 1:
                yield f"{'lost' if times == 0 else 'doubled'}: {key} is in {times} cells or places"
            elif key not in evidence.seen:
                yield f"undelivered: {key}"
        for stream, numbers in evidence.arrived.items():
            if numbers != sorted(numbers):
                yield f"order: {stream} arrived as {numbers}"
        for key in evidence.behind_a_fence:
            yield f"fence: {key} was stored by a cell that does not own its slot"
        if self.directory.moving:
            yield f"stuck: {len(self.directory.moving)} moves have not ended"
        if not self.plan.moves and not self.plan.network_faults:
            yield from self._late_elsewhere()

    def _late_elsewhere(self) -> Iterator[str]:
        """Rows that waited although their cell never failed; without moves a slot has one cell."""
        for key, row in self.evidence.committed.items():
            for cell, at in self.evidence.stored.get(key, ())[:1]:
                if cell not in self.failed and at - row.committed_at > NOTICED_S:
                    yield f"spread: {key} waited {at - row.committed_at:.0f} s, and its cell {cell} was well"

    def _plan_rows(self) -> None:
        """A heavy tail of tenants, each of one application with an outbox of its own."""
        plan, random = self.plan, self.network.random
        loads = tenants(plan.tenants, random)
        names, weights = list(loads), list(accumulate(loads.values()))
        for n, tenant in enumerate(random.choices(names, cum_weights=weights, k=plan.rows)):
            stream = Stream(tenant, random.randrange(3))
            self.network.after(random.uniform(0, plan.seconds), self._commit, f"row-{n}", stream)

    def _commit(self, key: str, stream: Stream) -> None:
        number = self._numbers[stream] = self._numbers.get(stream, 0) + 1
        row = Row(key, stream, slot_of(stream.tenant, self.plan.slots), number, self.network.now)
        self.evidence.committed[key] = row
        self.outboxes[slot_of(stream.tenant, len(self.outboxes))].commit(row)

    def _start_forwarder(self, outbox: Outbox) -> None:
        Forwarder(outbox, cells=self.cells, directory=self.directory, network=self.network, rules=self.rules)

    def _crash(self) -> None:
        """Another one starts; half of the time the first is only taken for dead, and goes on beside it."""
        random = self.network.random
        outbox = random.choice(self.outboxes)
        for forwarder in tuple(outbox.forwarders):
            self.network.after(random.choice((0, random.uniform(1, 30))), forwarder.stop)
        self.network.after(1, self._start_forwarder, outbox)

    def _fail_over(self) -> None:
        cell = self.network.random.choice(self.cells)
        if cell.up:
            self.failed.add(cell.id)
            cell.fail()
            self.network.after(self.network.random.uniform(*self.plan.down_s), cell.recover)

    def _move(self) -> None:
        random = self.network.random
        slot, to = random.randrange(self.plan.slots), random.randrange(self.plan.cells)
        if slot not in self.directory.moving and to != self.directory.cell_of(slot):
            Move(slot, to, cells=self.cells, directory=self.directory, network=self.network)
