"""How fast it flows right now, from two readings of the same counters."""

from __future__ import annotations

from collections import deque
from typing import Final

from postroom.base.clock import Clock
from postroom.metrics.gauges import Gauges
from postroom.outbox.model import Channel

WINDOW_S: Final = 60.0
SPAN_MIN_S: Final = 4.0
READINGS_MAX: Final = 64


class RateMeter:
    """Remembers the readings of the last minute. None until two of them are far enough apart."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._readings: deque[tuple[float, int]] = deque(maxlen=READINGS_MAX)

    def note(self, gauges: Gauges) -> None:
        now_s = self._clock.monotonic()
        if self._readings and now_s - self._readings[-1][0] < 1.0:
            return
        self._readings.append((now_s, delivered(gauges)))
        while now_s - self._readings[0][0] > WINDOW_S:
            self._readings.popleft()

    def delivered(self) -> tuple[float, float] | None:
        """Deliveries a second, and over how many seconds."""
        if not self._readings:
            return None
        (first_s, first), (last_s, last) = self._readings[0], self._readings[-1]
        if last_s - first_s < SPAN_MIN_S:
            return None
        return max(0, last - first) / (last_s - first_s), last_s - first_s


def delivered(gauges: Gauges) -> int:
    """Everything delivered since the beginning."""
    return sum(gauges.tallies.get(("ended", f"{channel}/delivered"), 0) for channel in Channel)
