"""One lane of a channel's queue, as one worker claims from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from postroom.base.clock import Clock
from postroom.base.db import Pool
from postroom.outbox.lanes import NORMAL, Lane
from postroom.worker.heartbeat import Worker


@dataclass(frozen=True, slots=True)
class Queue:
    """What all that claim from it have in common."""

    pool: Pool
    worker: Worker
    channel: str
    clock: Clock
    lane: Lane = NORMAL
    in_a_hurry: Callable[[], bool] = lambda: False
    """Whether there is something to claim by now that a long look for something else would keep waiting."""
