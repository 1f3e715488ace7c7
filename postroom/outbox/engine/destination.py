"""What one relay has at one destination: how much may be there, and whether it answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from postroom.outbox.lanes import URGENT_STATES
from postroom.outbox.model import Claim

WIDTH_START: Final = 4
AHEAD: Final = 8
AHEAD_MAX: Final = 16
"""So many may be claimed for each that may be under way; the second where it has all that it may have and
answered within `QUICK_S`: all would be sent before the next claim comes."""
QUICK_S: Final = 0.05
SILENT_S: Final = 1.0
"""Without a good answer for so long, a destination may not hold places that others could use."""
CROWD_TURN: Final = 20
"""While others wait, every so many-th is one of a tenant that crowds."""


@dataclass(slots=True)
class Destination:
    """Claims that wait for it, and deliveries under way to it. What crowds waits behind all other.

    `width` is how many may be under way. It starts small and doubles with every round of good answers,
    so that a receiver which never answers holds few places, and a quick one soon has all it may.
    """

    width: int
    width_max: int
    heard_at: float
    waiting: deque[Claim] = field(default_factory=deque)
    crowd: deque[Claim] = field(default_factory=deque)
    turn: int = 0
    in_flight: int = 0
    workers: int = 0
    answers: int = 0
    is_quick: bool = False

    @property
    def taken(self) -> int:
        return self.waiting_count + self.in_flight

    @property
    def waiting_count(self) -> int:
        return len(self.waiting) + len(self.crowd)

    @property
    def next(self) -> Claim:
        """One of those that go next. Errors: `IndexError` where nothing waits."""
        return (self.waiting or self.crowd)[0]

    def add(self, claim: Claim) -> None:
        if claim.crowds:
            self.crowd.append(claim)
        elif claim.state in URGENT_STATES:
            self.waiting.appendleft(claim)
        else:
            self.waiting.append(claim)

    def take(self, most: int) -> list[Claim]:
        """The next to go; none where nothing waits."""
        if not self.crowd and most == 1:
            return [self.waiting.popleft()] if self.waiting else []
        taken: list[Claim] = []
        while len(taken) < most and (self.waiting or self.crowd):
            self.turn += 1
            crowds = self.crowd and (not self.waiting or self.turn % CROWD_TURN == 0)
            taken.append(self.crowd.popleft() if crowds else self.waiting.popleft())
        return taken

    def claims(self) -> Iterator[Claim]:
        """All that waits."""
        return chain(self.waiting, self.crowd)

    def put_back(self, claims: Sequence[Claim]) -> None:
        """What was taken and may not go yet is the next to go again."""
        for claim in reversed(claims):
            (self.crowd if claim.crowds else self.waiting).appendleft(claim)

    def remove(self, wanted: Callable[[Claim], bool]) -> list[Claim]:
        """Take out of what waits those that are `wanted`."""
        every = list(self.claims())
        self.waiting.clear()
        self.crowd.clear()
        self.put_back([claim for claim in every if not wanted(claim)])
        return [claim for claim in every if wanted(claim)]

    @property
    def takes_more(self) -> bool:
        """Whether it is so quick that as much again may be claimed for it."""
        return self.is_quick and self.width >= self.width_max and self.answers > 0

    def is_silent(self, now: float) -> bool:
        """Whether something is under way and nothing has come back well for a while."""
        return self.in_flight > 0 and now - self.heard_at >= SILENT_S

    def share(self, now: float) -> int:
        """How many of the relay's places it may have, by how well it answers."""
        if self.is_silent(now):
            return self.width
        return self.width * (AHEAD_MAX if self.takes_more else AHEAD)

    def answered(self, now: float, count: int, *, well: bool) -> bool:
        """Note how `count` attempts ended together. Returns: whether more may be under way now."""
        if not well:
            self.width, self.answers = max(min(WIDTH_START, self.width_max), self.width // 2), 0
            return False
        self.heard_at = now
        self.answers += count
        if self.width >= self.width_max or self.answers < self.width:
            return False
        self.width, self.answers = min(2 * self.width, self.width_max), 0
        return True
