"""What passes between an application, its forwarder and the cells, and what a proof may take away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

Slot = int
CellId = int
Epoch = int


class Stream(NamedTuple):
    """What keeps its order: a tenant's ordering key."""

    tenant: str
    ordering_key: int


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an application's outbox. `number` is the order of commits within the stream."""

    key: str
    stream: Stream
    slot: Slot
    number: int
    committed_at: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """The cell has the rows, on two machines."""


@dataclass(frozen=True, slots=True)
class Moved:
    """They belong to another cell since `epoch`; nothing of them was taken."""

    cell: CellId
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Refused:
    """Not mine: ask the directory, and come later."""


Answer = Accepted | Moved | Refused


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of the design; a test takes one away and sees which check finds it."""

    cell_checks_owner: bool = True
    fence_waits_for_writers: bool = True
    cell_compares_epochs: bool = True
    cell_knows_keys: bool = True
    move_carries_keys: bool = True
    keys_are_read_behind_the_fence: bool = True
    target_waits_for_source: bool = True
    standby_is_synchronous: bool = True
    row_stays_until_acknowledged: bool = True
    stream_waits_for_acknowledgement: bool = True
    places_per_cell: bool = True


@dataclass(slots=True)
class Evidence:
    """What really happened, seen from outside."""

    committed: dict[str, Row] = field(default_factory=dict)
    stored: dict[str, list[tuple[CellId, float]]] = field(default_factory=dict)
    """Where each key is, and since when; what a fail-over forgot is taken out."""
    arrived: dict[Stream, list[int]] = field(default_factory=dict)
    """The numbers of each stream in the order in which their receiver saw them first."""
    seen: set[str] = field(default_factory=set)
    arrivals: int = 0
    owners: dict[Slot, tuple[Epoch, CellId | None]] = field(default_factory=dict)
    """Who may accept, by the newest epoch; nobody between a fence and the next owner's start."""
    behind_a_fence: list[str] = field(default_factory=list)

    def grant(self, slot: Slot, epoch: Epoch, cell: CellId | None) -> None:
        """What a cell committed. What is of an earlier epoch grants nothing."""
        newest, owner = self.owners.get(slot, (0, None))
        if epoch > newest or (epoch == newest and owner is None):
            self.owners[slot] = (epoch, cell)
