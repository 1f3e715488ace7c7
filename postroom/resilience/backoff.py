"""When to try again: pure functions of the attempt and a random number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Backoff(Protocol):
    """`attempt` is the number of attempts already spent, from 1; `jitter` is uniform in [0, 1)."""

    @property
    def attempts_max(self) -> int: ...

    def delay_s(self, attempt: int, jitter: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Exponential:
    """Doubling with full jitter: anywhere between `floor_s` and base times 2^(attempt - 1), capped."""

    attempts_max: int
    base_s: float = 5.0
    cap_s: float = 3_600.0
    floor_s: float = 1.0

    def delay_s(self, attempt: int, jitter: float) -> float:
        ceiling = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 40))
        return self.floor_s + jitter * max(0.0, ceiling - self.floor_s)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Fixed steps, each moved by up to `spread` of itself either way."""

    steps_s: Sequence[float]
    spread: float = 0.2

    @property
    def attempts_max(self) -> int:
        return len(self.steps_s) + 1

    def delay_s(self, attempt: int, jitter: float) -> float:
        step = self.steps_s[min(attempt, len(self.steps_s)) - 1]
        return step * (1.0 + self.spread * (2.0 * jitter - 1.0))
