"""Jobs: values that say what runs, how often, and for how long at most."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

RUNNER: Final = "jobs-runner"
"""What the runner itself beats as; it has no runs."""
JOB_NAMES: Final = (
    "outbox-delivery",
    "stripe-events",
    "email-dlq",
    "email-bounces",
    "lease-rescue",
    "expiry",
    "retention",
    "canary",
    "sealing",
    "recovery",
    "stripe-reconcile",
    "stripe-load",
    "stripe-refresh",
    "stripe-access",
    "export-files",
    "schedules",
)
"""Every job; `postroom.jobs.catalog` builds exactly these."""


async def _ignore(_: int) -> None:
    return None


@dataclass(slots=True)
class JobContext:
    """What a run is given.

    `stop`: set when it should come to an end. `once`: drain until nothing is due, then return.
    `requested`: a person asked for this very run.
    `progress`: a job that never ends calls it with what was done since, to show it is well.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    once: bool = False
    requested: bool = False
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
class JobStatus:
    """What is known of one job. A `paused` one runs on request only; a success empties `last_error`."""

    name: str
    last_heartbeat_at: datetime | None = None
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    consecutive_failures: int = 0
    last_error: str | None = None
    next_run_at: datetime | None = None
    running_since: datetime | None = None
    every_s: float | None = None
    paused: bool = False
