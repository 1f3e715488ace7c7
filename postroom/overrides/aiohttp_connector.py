"""aiohttp: kept connections on which an answer belongs to the request that asked for it.

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
"""At most so long between an answer and the next request on its connection; the mean is the half.

Twice as much took a quarter of the rate to a receiver that answers at once.
"""


class QuietConnector(aiohttp.TCPConnector):
    """Gives out only connections on which nothing came since the last answer.

    Promise: what a receiver says while the connection rests or is idle ends the connection. A request waits
    for one that rests before it opens another. Does not promise: that an answer is the right one
    where the one before it was doubled and the double came later, amid the next delivery.

    The client has no public way to say this, so `_get` and `_release` are overridden, which are not public.
    """

    def __init__(self, *, rest_s: float = REST_S, **options: Any) -> None:
        super().__init__(**options)
        self._rest_s = rest_s
        self._resting: dict[ConnectionKey, list[ResponseHandler]] = {}
        self._rest_waiters: list[asyncio.Future[None]] = []

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if should_close or protocol.should_close:
            super()._release(key, protocol, should_close=True)
            return
        if not self._resting:
            self._loop.call_later(self._rest_s, self._tick)
        self._resting.setdefault(key, []).append(protocol)

    def _tick(self) -> None:
        """One timer for all that rest."""
        rested, self._resting = self._resting, {}
        for key, protocols in rested.items():
            for protocol in protocols:
                super()._release(key, protocol)
        waiters, self._rest_waiters = self._rest_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        if key not in self._conns and key in self._resting:
            # No `asyncio.Event`: it asks for the running loop, up to Python 3.11 a system call.
            waiter = self._loop.create_future()
            self._rest_waiters.append(waiter)
            await waiter
        for protocol, _ in self._conns.get(key, ()):
            if not protocol.should_close:
                break
            protocol.close()
        return await super()._get(key, traces)
