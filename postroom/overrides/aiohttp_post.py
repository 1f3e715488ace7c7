"""aiohttp: a POST on a connection of its pool, without the layers of its session.

A session makes objects for request, response, timer and writing task around each request, which is two
thirds of what sending costs. Addresses, TLS, the pool with its limits, and the parser that reads strangers'
answers stay aiohttp's. A connector's `connect` is public; its protocol and what serializes headers are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from aiohttp.http_writer import _serialize_headers
from yarl import URL

URLS_KEPT_MAX: Final = 2_000
UNSENT_WITHIN_S: Final = 5.0
"""Who has answered may take the rest of the request for so long."""
_SWITCHING_PROTOCOLS: Final = 101


class PostResponse:
    """The head of an answer, and its body as it comes. Leaving `with` gives the connection back.

    Promise: the connection is used again only if the answer was read and the request was sent to its end;
    else it is closed.
    """

    __slots__ = ("_connection", "content", "headers", "status")

    def __init__(
        self, connection: Connection, message: RawResponseMessage, content: aiohttp.StreamReader
    ) -> None:
        self._connection = connection
        self.status = message.code
        self.headers = message.headers
        self.content = content

    def __enter__(self) -> PostResponse:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        transport = self._connection.transport
        if transport is not None and transport.get_write_buffer_size():
            # Closing sends the rest, and would wait for ever for a receiver that does not take it.
            asyncio.get_running_loop().call_later(UNSENT_WITHIN_S, transport.abort)
            self._connection.close()
        else:
            self._connection.release()  # which closes what is not at the end of its answer


class PostClient:
    """Posts bytes over the connector of a session, with its headers and its limit on connecting.

    Promise: a receiver gets what `session.post` would send (headers in another order), and its answer is read
    as that reads it. Does not promise: redirects, cookies, proxies, a time limit. The session stays the
    caller's.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        if session.connector is None:
            raise RuntimeError("the session is closed")
        self._connector = session.connector
        self._session = session
        self._template = lru_cache(URLS_KEPT_MAX)(self._make_template)

    async def post(self, url: URL, *, headers: Mapping[str, str], body: bytes) -> PostResponse:
        """Send, and wait for the head of the answer.

        Errors: those of `session.post`; `ValueError` for a header that would break its line. Whoever is
        cancelled leaves no connection behind.
        """
        template = self._template(url)
        head = _head(template, headers, len(body))
        try:
            connection = await self._connect(template)
            return PostResponse(connection, *await _exchange(connection, head + body))
        except HttpProcessingError as error:
            raise aiohttp.ClientResponseError(
                template.request_info, (), status=error.code, message=error.message
            ) from error

    async def _connect(self, template: aiohttp.ClientRequest) -> Connection:
        try:
            return await self._connector.connect(template, [], self._session.timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError("no connection in time") from error

    def _make_template(self, url: URL) -> aiohttp.ClientRequest:
        """What is the same for each request to a url: where it goes, and the headers of the session."""
        return aiohttp.ClientRequest(
            "POST", url, headers=self._session.headers, loop=asyncio.get_running_loop(), session=self._session
        )


def _head(template: aiohttp.ClientRequest, headers: Mapping[str, str], size_bytes: int) -> bytes:
    sent = template.headers.copy()
    sent.update(headers)
    sent["Content-Length"] = str(size_bytes)
    return _serialize_headers(f"POST {template.url.raw_path_qs} HTTP/1.1", sent)


async def _exchange(
    connection: Connection, request: bytes
) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
    transport = connection.transport
    try:
        protocol = _send(connection, request)
        while True:
            message, content = await protocol.read()
            if message.code == _SWITCHING_PROTOCOLS or not 100 <= message.code < 200:
                return message, content
    except BaseException:
        if transport is not None and transport.get_write_buffer_size():
            transport.abort()  # closing would wait for a receiver that takes nothing
        connection.close()
        raise


def _send(connection: Connection, request: bytes) -> ResponseHandler:
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None:
        raise aiohttp.ClientConnectionResetError("the connection was closed at once")
    protocol.set_response_params(auto_decompress=False, read_until_eof=True)
    transport.write(request)
    return protocol
