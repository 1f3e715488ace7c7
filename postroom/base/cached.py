"""A value that is read again at most every few seconds, by one reader at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from postroom.base.clock import Clock

Value = TypeVar("Value")


class Cached(Generic[Value]):
    """Promise: however many ask, `read` runs once at a time and at most every `ttl_s` seconds.

    An error of `read` goes to its caller and is not kept.
    """

    def __init__(self, read: Callable[[], Awaitable[Value]], *, ttl_s: float, clock: Clock) -> None:
        self._read = read
        self._ttl_s = ttl_s
        self._clock = clock
        self._reading = asyncio.Lock()
        self._kept: tuple[float, Value] | None = None

    async def get(self) -> Value:
        async with self._reading:
            now_s = self._clock.monotonic()
            if self._kept is None or now_s - self._kept[0] >= self._ttl_s:
                self._kept = (now_s, await self._read())
            return self._kept[1]
