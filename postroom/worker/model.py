"""Jobs: values that say what runs, how often, and for how long at most."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

JOBS_RUNNER = "jobs-runner"


async def _ignore(_: int) -> None:
    return None


@dataclass(slots=True)
class JobContext:
    """What a run is given.

    `stop`: set when it should come to an end. `once`: drain until nothing is due, then return.
    `progress`: a job that never ends calls it with what was done since, to show it is well.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    once: bool = False
    progress: Callable[[int], Awaitable[None]] = _ignore


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `run` returns how much it did; raising means that this run failed.

    `continuous`: runs in every runner all the time; the others run in one runner at a time,
    every `every_s` seconds.
    """

    name: str
    run: Callable[[JobContext], Awaitable[int]]
    every_s: float
    continuous: bool = False
    timeout_s: float = 300.0


@dataclass(frozen=True, slots=True)
class JobState:
    """What the database knows of a job."""

    name: str
    every_s: float | None
    beat_at: datetime | None
    started_at: datetime | None
    succeeded_at: datetime | None
    failed_at: datetime | None
    failures: int
    last_error: str | None
    next_run_at: datetime
    paused: bool
    worker: int | None
