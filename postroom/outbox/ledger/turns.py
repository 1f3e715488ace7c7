"""Work that nobody waits for: it takes turns, leaves most of the time to others, and comes to an end."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from postroom.base.clock import Clock
from postroom.base.db import DATABASE_FAILURES

Sweep = Callable[[], Awaitable[tuple[int, bool]]]
"""Does one batch. Returns: how much it did, and whether there may be more."""


async def take_turns(
    sweeps: Iterable[Sweep],
    *,
    clock: Clock,
    within_s: float,
    share: float,
    rest: Callable[[float], Awaitable[bool]],
) -> int:
    """One batch of each sweep in turn, until none has more, `within_s` has passed, or `rest` says stop.

    Promise: no sweep waits for another one to end, and batches take at most `share` of the time.
    `rest`: waits so many seconds; returns whether to go on.
    Does not promise that all is done: what is left is the next call's.
    Returns: how much was done. Errors: the database's, the first one, after all others had their turns.
    """
    waiting, total = deque(sweeps), 0
    failures: list[Exception] = []
    ends_at = clock.monotonic() + within_s
    while waiting:
        sweep = waiting.popleft()
        started_at = clock.monotonic()
        try:
            count, more = await sweep()
        except DATABASE_FAILURES as error:
            failures.append(error)
            continue
        total += count
        if not more:
            continue
        waiting.append(sweep)
        now = clock.monotonic()
        pause_s = (now - started_at) * (1 / share - 1)
        if now + pause_s >= ends_at or not await rest(pause_s):
            break
    if failures:
        raise failures[0]
    return total
