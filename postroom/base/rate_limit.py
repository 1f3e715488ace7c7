"""How often somebody may do something in a minute: fail to log in, cause an audit row."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

from postroom.base.clock import Clock
from postroom.base.networks import neighbourhood

WINDOW_S: Final = 60.0
NAMES_MAX: Final = 10_000


class RateLimiter:
    """Counts by name, a client's address for instance, in windows of a minute.

    Does not promise: anything about more than 10,000 names; the oldest is forgotten.
    """

    def __init__(self, *, clock: Clock, count_max: int) -> None:
        self._clock = clock
        self._count_max = count_max
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, name: str) -> int:
        """Seconds until the next one is within the limit; 0 when it is now."""
        started_s, count = self._window(name)
        if count < self._count_max:
            return 0
        return max(1, round(started_s + WINDOW_S - self._clock.monotonic()))

    def record(self, name: str) -> bool:
        """Count one. Returns: whether it was still within the limit."""
        started_s, count = self._window(name)
        self._windows[name] = (started_s, count + 1)
        if len(self._windows) > NAMES_MAX:
            self._windows.popitem(last=False)
        return count < self._count_max

    def _window(self, name: str) -> tuple[float, int]:
        now_s = self._clock.monotonic()
        started_s, count = self._windows.get(name, (now_s, 0))
        if now_s - started_s >= WINDOW_S:
            return now_s, 0
        return started_s, count


class FailureLimit:
    """Failed sign-ins in a minute, by where they come from and by the secret that was tried.

    Of a secret only a part of its hash is kept.
    """

    def __init__(self, *, clock: Clock, count_max: int) -> None:
        self._by_client = RateLimiter(clock=clock, count_max=count_max)
        self._by_secret = RateLimiter(clock=clock, count_max=count_max)
        self._any = False

    def wait_s(self, client: str, secret: str) -> int:
        """Seconds until this client may try this secret; 0 when it is now."""
        if not self._any:
            return 0
        by_client = self._by_client.wait_s(neighbourhood(client))
        return max(by_client, self._by_secret.wait_s(_fingerprint(secret)))

    def record(self, client: str, secret: str) -> None:
        self._any = True
        self._by_client.record(neighbourhood(client))
        self._by_secret.record(_fingerprint(secret))


def _fingerprint(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()[:16]
