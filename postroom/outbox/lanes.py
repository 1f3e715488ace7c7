"""Urgency, and the lanes that it makes of a channel's queue."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Urgency(StrEnum):
    """What goes first where much waits: a place in the queue, and no other rights."""

    URGENT = "urgent"
    NORMAL = "normal"
    BULK = "bulk"


class Lane(NamedTuple):
    """The two states in which what has one urgency waits: before its first attempt, and for its next.

    The index of what is due begins with channel and state, so that each lane is a range of it, and reading
    one costs the same whatever waits in the others.
    """

    first: str
    retry: str


LANES: Final = {
    Urgency.URGENT: Lane("pending_urgent", "retry_urgent"),
    Urgency.NORMAL: Lane("pending", "retry"),
    Urgency.BULK: Lane("pending_bulk", "retry_bulk"),
}
NORMAL: Final = LANES[Urgency.NORMAL]
FIRST_STATES: Final = frozenset(lane.first for lane in LANES.values())
HELD_STATES: Final = frozenset({"held", "held_urgent", "held_bulk"})
"""In no lane: the tenant is on its way here, and another ledger still has something of it."""
RETRY_STATES: Final = frozenset(lane.retry for lane in LANES.values())
BULK_STATES: Final = frozenset(LANES[Urgency.BULK])
URGENT_STATES: Final = frozenset(LANES[Urgency.URGENT])
