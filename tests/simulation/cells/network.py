"""A simulated clock, and a network that delays, loses and repeats. Everything follows from the seed."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Final

LOST: Final = 0.01
REPEATED: Final = 0.02
SLOW: Final = 0.02
SLOW_MAX_S: Final = 40.0
"""Longer than a request's time limit and than a move: what arrives then is a repeat from the past."""


class Network:
    """Calls in the order of their times; those of one time in the order in which they were made."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.faulty = True
        self._calls: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._made = 0

    def after(self, seconds: float, call: Callable[..., None], *arguments: object) -> None:
        self._made += 1
        heapq.heappush(self._calls, (self.now + seconds, self._made, call, arguments))

    def send(self, call: Callable[..., None], *arguments: object) -> None:
        """Arrives once, mostly; else never, twice, or very late."""
        chance = self.random.random()
        if self.faulty and chance < LOST:
            return
        self.after(self._delay_s(), call, *arguments)
        if self.faulty and chance > 1 - REPEATED:
            self.after(self.random.uniform(0, SLOW_MAX_S), call, *arguments)

    def run(self, until: float) -> None:
        while self._calls and self._calls[0][0] <= until:
            self.now, _, call, arguments = heapq.heappop(self._calls)
            call(*arguments)
        self.now = until

    def _delay_s(self) -> float:
        if self.faulty and self.random.random() < SLOW:
            return self.random.uniform(0, SLOW_MAX_S)
        return self.random.uniform(0.0002, 0.003)
