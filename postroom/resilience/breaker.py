"""A circuit breaker's rules, pure: when it opens, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CircuitState(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"

    @property
    def gauge(self) -> float:
        """The number that `circuit_state` shows."""
        return {CircuitState.CLOSED: 0.0, CircuitState.HALF_OPEN: 0.5, CircuitState.OPEN: 1.0}[self]


class Trip(StrEnum):
    """What a failure says of the destination's breaker: nothing, one strike, or open at once."""

    NO = "no"
    STRIKE = "strike"
    NOW = "now"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Opens after `strikes_max` failures in a row; stays open for a doubling time up to `open_max_s`."""

    strikes_max: int = 5
    open_s: float = 5.0
    open_max_s: float = 300.0
    probe_s: float = 60.0

    def trips(self, strikes: int, trip: Trip) -> bool:
        return trip is Trip.NOW or (trip is Trip.STRIKE and strikes >= self.strikes_max)
