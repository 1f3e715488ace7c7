"""Attempts by task, and how long they took: counted where they run, kept among the ledger's counters."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from postroom.base.db import DATABASE_FAILURES, Pool, query
from postroom.base.log import get_logger
from postroom.channels.tasks.outcomes import DONE
from postroom.outbox.model import Answer, Delivered, Rejected, RetryLater, Settled
from postroom.outbox.store import TALLY_SHARDS

log = get_logger(__name__)

_ADD: Final = query(__package__, "add_tallies")

EVERY_S: Final = 5.0
WITHIN_S: Final = 5.0
NAMED_MAX: Final = 50
OTHERS: Final = "other"
"""What tasks beyond the first `NAMED_MAX`, by name, are counted as together."""
OUTCOMES: Final = ("delivered", "retry", "rejected", "cancelled")
BUCKETS_S: Final = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, float("inf"))
ATTEMPTS: Final = "task_attempts"
BUCKET: Final = "task_bucket"
TOOK_MS: Final = "task_ms"


@dataclass(slots=True)
class TaskCounts:
    """Of one task since the beginning. `buckets`: attempts above the bound before and up to that one."""

    attempts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    buckets: list[int] = field(default_factory=lambda: [0] * len(BUCKETS_S))
    took_ms: int = 0


class Counts:
    """Promise: what ran here is in the ledger's counters within seconds, and when this is closed.

    Does not promise: the last seconds of a process that dies; one count each where the database goes away
    amid them.
    """

    def __init__(self, pool: Pool, names: Iterable[str]) -> None:
        self._pool = pool
        self._named = frozenset(sorted(names)[:NAMED_MAX])
        # Attempts and seconds by task, outcome and bucket: made into counters where they are kept.
        self._grown: dict[tuple[str, str, int], list[float]] = {}
        self._shard = 0
        self._closing = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    def add(self, name: str, answer: Answer, *, cancelled: bool, took_s: float, worker: int) -> None:
        """One attempt; what was not tried is none. `cancelled`: of one that settled itself, why."""
        outcome = _outcome(answer, cancelled=cancelled)
        if outcome is None:
            return
        task = name if name in self._named else OTHERS
        self._add((task, outcome, bisect_left(BUCKETS_S, took_s)), 1, took_s)
        self._shard = worker % TALLY_SHARDS
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep_soon(), name="task counts")

    def _add(self, key: tuple[str, str, int], attempts: float, took_s: float) -> None:
        grown = self._grown.get(key)
        if grown is None:
            self._grown[key] = [attempts, took_s]
        else:
            grown[0] += attempts
            grown[1] += took_s

    async def close(self) -> None:
        self._closing.set()
        if self._keeping is not None:
            await self._keeping

    async def _keep_soon(self) -> None:
        """Until all is kept, or this is closed."""
        try:
            while self._grown:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), EVERY_S)
                await self._keep()
                if self._closing.is_set():
                    return
        finally:
            self._keeping = None

    async def _keep(self) -> None:
        grown, self._grown = self._grown, {}
        counters: Counter[tuple[str, str]] = Counter()
        for (task, outcome, bucket), (attempts, took_s) in grown.items():
            counters[ATTEMPTS, f"{outcome} {task}"] += int(attempts)
            counters[BUCKET, f"{bucket} {task}"] += int(attempts)
            counters[TOOK_MS, f"sum {task}"] += round(took_s * 1_000)
        names, labels = [name for name, _ in counters], [label for _, label in counters]
        try:
            async with asyncio.timeout(WITHIN_S), self._pool.acquire() as conn:
                await conn.execute(_ADD, names, labels, self._shard, list(counters.values()))
        except (*DATABASE_FAILURES, TimeoutError) as error:
            for key, (attempts, took_s) in grown.items():
                self._add(key, attempts, took_s)
            log.warning("tasks.not_counted", error=repr(error))


def read_counts(tallies: Mapping[tuple[str, str], int]) -> dict[str, TaskCounts]:
    """By task, of the ledger's counters: the first `NAMED_MAX` by name, all others as `OTHERS`, which is
    there from the start: runners of other code, and of before, count tasks of their own."""
    ours = {key: value for key, value in tallies.items() if key[0] in (ATTEMPTS, BUCKET, TOOK_MS)}
    names = {label.partition(" ")[2] for _, label in ours} - {OTHERS}
    found = {name: TaskCounts() for name in (*sorted(names)[:NAMED_MAX], OTHERS)}
    for (kind, label), value in ours.items():
        what, _, name = label.partition(" ")
        task = found.get(name, found[OTHERS])
        if kind == ATTEMPTS:
            task.attempts[what] += value
        elif kind == BUCKET:
            task.buckets[int(what)] += value
        else:
            task.took_ms += value
    return found


def _outcome(answer: Answer, *, cancelled: bool) -> str | None:
    if answer is DONE:
        return "delivered"
    match answer:
        case Settled():
            return "cancelled" if cancelled else "delivered"
        case Delivered():
            return "delivered"
        case RetryLater():
            return "retry"
        case Rejected():
            return "rejected"
    return None
