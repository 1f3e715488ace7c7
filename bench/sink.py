"""Receivers that cost next to nothing, so that what is measured is the sender. A process of its own.

`python -m bench.sink http|smtp|silent [COUNT]` prints its ports, one after the other, and takes everything;
`silent` accepts connections and never answers.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Final, cast

import httptools
import uvloop

OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class HttpSink(asyncio.Protocol):
    """Answers 200 to every complete request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not say that they are asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(OK)


class SmtpSink(asyncio.Protocol):
    """Says yes to everything, and takes every mail."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._buffer = b""
        self._in_data = False
        self._say(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = b"\r\n.\r\n" if self._in_data else b"\r\n"
            head, found, rest = self._buffer.partition(end)
            if not found:
                return
            self._buffer = rest
            self._answer(head)

    def _answer(self, line: bytes) -> None:
        if self._in_data:
            self._in_data = False
            self._say(b"250 2.0.0 taken\r\n")
        elif line[:4].upper() == b"DATA":
            self._in_data = True
            self._say(b"354 go ahead\r\n")
        elif line[:4].upper() == b"EHLO":
            self._say(b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
        else:
            self._say(b"250 2.0.0 ok\r\n")

    def _say(self, text: bytes) -> None:
        self._transport.write(text)


KINDS: Final[dict[str, Callable[[], asyncio.Protocol]]] = {
    "http": HttpSink,
    "smtp": SmtpSink,
    "silent": asyncio.Protocol,
}


async def serve(kind: str, count: int) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(KINDS[kind], "127.0.0.1", 0) for _ in range(count)]
    print("ports", *(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1))
