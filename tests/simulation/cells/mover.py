"""The directory, its copies, and moves of slots between cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from tests.simulation.cells.cell import Cell
from tests.simulation.cells.model import CellId, Epoch, Moved, Slot
from tests.simulation.cells.network import Network

ASK_AGAIN_S: Final = 3.0
LOOK_S: Final = 1.0


@dataclass(slots=True)
class Copy:
    """What a router believes; never older than what it has believed before."""

    first: Sequence[CellId]
    changed: dict[Slot, Moved] = field(default_factory=dict)
    read: int = 0

    def cell_of(self, slot: Slot) -> CellId:
        changed = self.changed.get(slot)
        return changed.cell if changed else self.first[slot]

    def learn(self, slot: Slot, moved: Moved) -> None:
        known = self.changed.get(slot)
        if known is None or moved.epoch > known.epoch:
            self.changed[slot] = moved


class Directory:
    """Which cell has which slot. It is written by moves alone, and nobody waits for it."""

    def __init__(self, owners: Sequence[CellId]) -> None:
        self._first = owners
        self._log: list[tuple[Slot, Moved]] = []
        self._newest: dict[Slot, Moved] = {}
        self.moving: set[Slot] = set()
        self.moved = 0

    def cell_of(self, slot: Slot) -> CellId:
        newest = self._newest.get(slot)
        return newest.cell if newest else self._first[slot]

    def next_epoch(self, slot: Slot) -> Epoch:
        newest = self._newest.get(slot)
        return newest.epoch + 1 if newest else 2

    def publish(self, slot: Slot, moved: Moved) -> None:
        self._log.append((slot, moved))
        self._newest[slot] = moved

    def copy(self) -> Copy:
        return Copy(self._first)

    def update(self, copy: Copy) -> None:
        """What has changed since the copy was read last."""
        for slot, moved in self._log[copy.read :]:
            copy.learn(slot, moved)
        copy.read = len(self._log)


class Move:
    """Fence, carry the keys, open the target, publish, wait, release: each asked until answered."""

    def __init__(
        self, slot: Slot, to: CellId, *, cells: list[Cell], directory: Directory, network: Network
    ) -> None:
        self._slot = slot
        self._source, self._target = cells[directory.cell_of(slot)], cells[to]
        self._to = Moved(to, directory.next_epoch(slot))
        self._directory, self._network = directory, network
        self._step = 0
        directory.moving.add(slot)
        self._ask(1, lambda: network.send(self._source.fence, slot, self._to, self._back(self._fenced)))

    def _fenced(self, keys: Set[str]) -> None:
        if self._step == 1:
            epoch = self._to.epoch
            ask = self._network.send
            self._ask(2, lambda: ask(self._target.take, self._slot, epoch, keys, self._back(self._taken)))

    def _taken(self) -> None:
        if self._step == 2:
            self._directory.publish(self._slot, self._to)
            self._ask(
                3,
                lambda: self._network.send(self._source.drained, self._slot, self._back(self._drained)),
                LOOK_S,
            )

    def _drained(self, drained: bool) -> None:
        if self._step == 3 and drained:
            slot, epoch = self._slot, self._to.epoch
            self._ask(
                4, lambda: self._network.send(self._target.release, slot, epoch, self._back(self._released))
            )

    def _released(self) -> None:
        if self._step == 4:
            self._step = 5
            self._directory.moving.discard(self._slot)
            self._directory.moved += 1

    def _ask(self, step: int, ask: Callable[[], None], every_s: float = ASK_AGAIN_S) -> None:
        """Again and again until the step is over: what it costs a mover to be killed, too."""
        self._step = max(self._step, step)
        if self._step == step:
            ask()
            self._network.after(every_s, self._ask, step, ask, every_s)

    def _back(self, call: Callable[..., None]) -> Callable[..., None]:
        return lambda *answer: self._network.send(call, *answer)
