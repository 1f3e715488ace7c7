"""When claiming goes back to the beginning of what is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from postroom.base.clock import Clock


@dataclass(frozen=True, slots=True)
class RestartPace:
    """How often the beginning is read again, and what counts as expensive."""

    every_s: float = 5.0
    slow_claim_s: float = 0.005
    blocked_min: int = 100
    """A claim from which places were left over, that took longer than `slow_claim_s` and left so many
    due, has read what waits for its ordering keys."""
    pause_claims: float = 20.0
    """After such a claim from the beginning: a pause of so many times what it took, `every_s` at most."""


DEFAULT_PACE: Final = RestartPace()


class Restarts:
    """Decides when the cursor goes back.

    Promise: every `every_s`, whatever happens. Sooner where nothing is due behind the cursor, but while
    reading from the beginning is expensive that takes a twentieth of the time at most.
    """

    def __init__(self, *, clock: Clock, pace: RestartPace) -> None:
        self._clock = clock
        self._pace = pace
        self._restarted_at = clock.monotonic()
        self._paused_until = float("-inf")

    @property
    def overdue(self) -> bool:
        return self._clock.monotonic() - self._restarted_at > self._pace.every_s

    @property
    def affordable(self) -> bool:
        """Whether the beginning may be read again just because nothing is due behind the cursor."""
        return self._clock.monotonic() >= self._paused_until

    def restarted(self) -> None:
        self._restarted_at = self._clock.monotonic()

    def claimed_from_start(self, took_s: float, *, blocked: bool) -> None:
        """A claim began at the beginning. `blocked`: it has read much that waits for its ordering keys."""
        self._restarted_at = now = self._clock.monotonic()
        pause_s = min(self._pace.every_s, self._pace.pause_claims * took_s) if blocked else 0.0
        self._paused_until = now + pause_s
