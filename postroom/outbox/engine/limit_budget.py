"""What one relay has of one limit: starts and places that were leased, and what it lacks."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from postroom.outbox.limits import Lease, Limit, Wanted

WORTH_S: Final = 0.1
"""A lease is for what the limit grants in so long at most, or one start: a runner that dies loses no more."""
EXTRA_S: Final = 0.005
"""A lease reaches up to three times beyond what is wanted, but no further than what the limit grants in
so long: a queue that flows then needs no lease for each claim, and what may go void is next to nothing."""
VOID_S: Final = 0.5
"""What was leased and not started is void so long after it was asked for."""
AHEAD_S: Final = 0.5
"""So much is claimed ahead of its turn."""
ASK_MIN_S: Final = 0.05
ASK_MAX_S: Final = 1.0
"""How soon a limit that left too little is asked again."""
STUCK_S: Final = 2.0
"""What has waited for so long while others had all of the limit is handed back, and rests for so long."""
REST_MAX_S: Final = 30.0
KEEP_PLACES_S: Final = 1.0
"""Places that were not used or wanted for so long are returned."""


@dataclass(slots=True)
class _Starts:
    void_at: float
    count: int


class Budget:
    """Counts only; the limiter asks. Times are those of the process's clock."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.used = 0
        self.places = 0
        self.stuck = False
        self._wanted: dict[str, int] = {}
        self._peak = 0
        self._starts: deque[_Starts] = deque()
        self._ask_at = self._rest_until = -math.inf
        self._short_since = math.inf
        # At once: what this worker had before, and could not return, goes back.
        self._tidy_at = math.inf if limit.in_flight is None else -math.inf

    def allows(self, now: float, most: int = 1) -> int:
        """How many more may start at once, at most `most`; 0 only where none may."""
        while self._starts and (self._starts[0].void_at <= now or not self._starts[0].count):
            self._starts.popleft()
        if self.limit.per_second is not None:
            most = min(most, self._starts[0].count) if self._starts else 0
        if self.limit.in_flight is not None:
            most = min(most, self.places - self.used, self.limit.in_flight - self.used)
        return max(most, 0)

    def start(self, count: int = 1) -> bool:
        """Only what `allows` has just allowed. Returns: whether they take places, until `used` says less."""
        self._short_since = math.inf
        if self._starts:
            self._starts[0].count -= count
        if self.limit.in_flight is None:
            return False
        self.used += count
        self._peak = max(self._peak, self.used)
        return True

    def want(self, destination: str, count: int) -> None:
        """So many could start there, if there were more of it; in place of what was wanted there before."""
        self._wanted[destination] = count

    def due_at(self) -> float:
        """When to ask: something is wanted, or places may be returned."""
        return min(self._ask_at if self._wanted else math.inf, self._tidy_at)

    def ask(self, now: float) -> Wanted:
        """What to ask for. What is still wanted after the answer must be wanted again."""
        starts = places = 0
        wanted = sum(self._wanted.values())
        if self.limit.per_second is not None:
            left = sum(each.count for each in self._starts if each.void_at > now)
            if (lacked := wanted - left) > 0:
                extra = min(3 * lacked, int(self.limit.per_second * EXTRA_S))
                starts = min(lacked + extra, max(1, int(self.limit.per_second * WORTH_S)))
        if self.limit.in_flight is not None:
            places = max(self.used + wanted, self._peak)
            # Until the answer more may start in the places that are kept: they count as used.
            self.places = min(self.places, places, self.limit.in_flight)
            if self.places <= 0:
                starts = 0  # without a place they would go void
        self._wanted, self._peak = {}, self.used
        return Wanted(self.limit.id, starts, places, max(self.used, self.places))

    def take(self, wanted: Wanted, given: Lease, *, asked_at: float, now: float) -> None:
        """Keep what was given, and see when to ask again if that was too little."""
        if given.starts:
            self._starts.append(_Starts(asked_at + VOID_S, given.starts))
        self.places = given.places
        kept = self.limit.in_flight is not None and max(wanted.places, self.used) > 0
        self._tidy_at = now + KEEP_PLACES_S if kept else math.inf
        lacks_starts = given.starts < wanted.starts
        if not lacks_starts and given.places >= wanted.places:
            self._ask_at, self._short_since, self.stuck = now, math.inf, False
            return
        wait_s = max(given.next_start_s or 0.0, 0.0) if lacks_starts else 0.0
        self._ask_at = now + min(max(wait_s, ASK_MIN_S), ASK_MAX_S)
        self._short_since = min(self._short_since, now)
        self.stuck = now - self._short_since >= STUCK_S
        if self.stuck:
            self._rest_until = now + min(max(wait_s, STUCK_S), REST_MAX_S)
            self._short_since = math.inf

    @property
    def ahead(self) -> int:
        """How many are worth claiming before their turn."""
        rate, in_flight = self.limit.per_second, self.limit.in_flight
        by_rate = math.inf if rate is None else max(1, math.ceil(rate * AHEAD_S))
        return int(min(by_rate, math.inf if in_flight is None else in_flight))

    def room(self, waiting: int, now: float, *, most: float = math.inf) -> int:
        """How many may be claimed besides those that wait, `most` with them; a few at a time are not worth a
        query."""
        ahead = int(min(self.ahead, most))
        return ahead - waiting if 2 * waiting <= ahead and now >= self._rest_until else 0
