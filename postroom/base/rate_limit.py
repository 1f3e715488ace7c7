"""How often a client may fail to log in."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from postroom.base.clock import Clock

WINDOW_S: Final = 60.0
CLIENTS_MAX: Final = 10_000


class FailureLimiter:
    """Counts failures by client address in windows of a minute; forgets the oldest of 10,000 clients."""

    def __init__(self, *, clock: Clock, failures_max: int) -> None:
        self._clock = clock
        self._failures_max = failures_max
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, client: str) -> int:
        """Seconds this client must wait; 0 when it may try."""
        started_s, failures = self._window(client)
        if failures < self._failures_max:
            return 0
        return max(1, round(started_s + WINDOW_S - self._clock.monotonic()))

    def record(self, client: str) -> bool:
        """Note a failure. Returns: whether it was still within the limit."""
        started_s, failures = self._window(client)
        self._windows[client] = (started_s, failures + 1)
        if len(self._windows) > CLIENTS_MAX:
            self._windows.popitem(last=False)
        return failures < self._failures_max

    def _window(self, client: str) -> tuple[float, int]:
        now_s = self._clock.monotonic()
        started_s, failures = self._windows.get(client, (now_s, 0))
        if now_s - started_s >= WINDOW_S:
            return now_s, 0
        return started_s, failures
