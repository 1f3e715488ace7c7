"""Kept connections on which an answer belongs to the request that asked for it.

HTTP/1.1 does not number its answers. A receiver that answers twice would give the second answer to the
next delivery on that connection, which then counts as delivered though nobody has read it.
"""

from __future__ import annotations

from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

REST_S: Final = 0.001
"""Between an answer and the next request on its connection. One timer serves all that rest."""


class QuietConnector(aiohttp.TCPConnector):
    """Gives out only connections on which nothing came since the last answer.

    Promise: what a receiver says within `REST_S` of its answer, or while the connection is idle, ends the
    connection. Not promised: that an answer is the right one when the one before it was doubled and the
    double came later, in the middle of the next delivery.

    The client has no public way to say this, so two methods of it are overridden that are not public.
    `tests/system/test_webhook_double_answers.py` fails when a new version no longer calls them.
    """

    _resting: list[tuple[ConnectionKey, ResponseHandler]] | None = None

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if should_close or protocol.should_close:
            super()._release(key, protocol, should_close=True)
            return
        if not self._resting:
            self._resting = []
            self._loop.call_later(REST_S, self._wake, self._resting)
        self._resting.append((key, protocol))

    def _wake(self, rested: list[tuple[ConnectionKey, ResponseHandler]]) -> None:
        self._resting = None
        for key, protocol in rested:
            super()._release(key, protocol)

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        for protocol, _ in self._conns.get(key, ()):
            if not protocol.should_close:
                break
            protocol.close()
        return await super()._get(key, traces)
