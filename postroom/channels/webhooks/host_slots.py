"""Requests under way to one host, counted before they are sent."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakValueDictionary

from yarl import URL

CONNECTION_WITHIN_S: Final = 5.0


class HostSlots:
    """At most `per_host_max` requests to a host at a time, in line.

    Promise: whoever waits here has not begun, so that a wait for the requests of others is never taken for
    silence of the receiver. The connection pool has the same limit, but waits within the time limit of the
    request. Does not promise: a slot within the time; who gets none tries later. Hosts without requests are
    forgotten by themselves.
    """

    def __init__(self, per_host_max: int, *, within_s: float = CONNECTION_WITHIN_S) -> None:
        self._per_host_max = per_host_max
        self._within_s = within_s
        self._hosts: WeakValueDictionary[tuple[str, str | None, int | None], asyncio.Semaphore] = (
            WeakValueDictionary()
        )

    async def take(self, url: URL) -> asyncio.Semaphore | None:
        """A slot of this host, to be released by the caller. Returns: None if there is none in time."""
        host = (url.scheme, url.raw_host, url.port)
        slots = self._hosts.get(host)
        if slots is None:
            slots = self._hosts[host] = asyncio.Semaphore(self._per_host_max)
        if not slots.locked():
            await slots.acquire()  # does not wait
            return slots
        try:
            async with asyncio.timeout(self._within_s):
                await slots.acquire()
        except TimeoutError:
            return None
        return slots
