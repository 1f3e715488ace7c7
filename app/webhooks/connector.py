"""Kept connections on which an answer belongs to the request that asked for it.

HTTP/1.1 does not number its answers. A receiver that answers twice would give the second answer to the
next delivery on that connection, which then counts as delivered though nobody has read it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

REST_S: Final = 0.001
"""At least so long, and at most twice, between an answer and the next request on its connection."""

_Resting = dict[ConnectionKey, list[ResponseHandler]]


class QuietConnector(aiohttp.TCPConnector):
    """Gives out only connections on which nothing came since the last answer.

    Promise: what a receiver says within `REST_S` of its answer, or while the connection is idle, ends the
    connection. A request waits for one that rests before it opens another. Not promised: that an answer is
    the right one where the one before it was doubled and the double came later, amid the next delivery.

    The client has no public way to say this, so two methods of it are overridden that are not public.
    `tests/system/test_webhook_double_answers.py` fails when a new version no longer calls them.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._young: _Resting = {}
        self._old: _Resting = {}
        self._rested = asyncio.Event()
        self._ticking = False

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if should_close or protocol.should_close:
            super()._release(key, protocol, should_close=True)
            return
        self._young.setdefault(key, []).append(protocol)
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(REST_S, self._tick)

    def _tick(self) -> None:
        """One timer for all that rest: what was there at the last tick has rested long enough."""
        rested, self._old, self._young = self._old, self._young, {}
        for key, protocols in rested.items():
            for protocol in protocols:
                super()._release(key, protocol)
        self._rested.set()
        self._rested = asyncio.Event()
        self._ticking = bool(self._old)
        if self._ticking:
            self._loop.call_later(REST_S, self._tick)

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        for _ in range(2):  # an old one has rested after one tick, a young one after two
            if key in self._conns or (key not in self._old and key not in self._young):
                break
            await self._rested.wait()
        for protocol, _ in self._conns.get(key, ()):
            if not protocol.should_close:
                break
            protocol.close()
        return await super()._get(key, traces)
