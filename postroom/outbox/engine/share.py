"""A part of what is claimed."""

from __future__ import annotations


class Share:
    """A part of what is claimed; where that is less than one at a time, it adds up to `saved_max`."""

    def __init__(self, part: float, *, saved_max: int) -> None:
        self._part = part
        self._saved_max = saved_max
        self._credit = 1.0

    def of(self, free: int) -> int:
        """How many of `free` are its own."""
        self._credit = min(self._credit + free * self._part, self._saved_max)
        return min(free, int(self._credit))

    def took(self, count: int) -> None:
        self._credit = max(0.0, self._credit - count)
