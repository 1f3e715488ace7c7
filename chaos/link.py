"""A stretch of network between the processes and a PostgreSQL: it can be cut, swallow, slow down, end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

CHUNK_BYTES = 65_536


@dataclass(slots=True, eq=False)
class _Wire:
    """One connection. `dead`: the server's side is gone and the client was not told."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    dead: bool = False
    swallowed: bool = False

    def abort(self) -> None:
        for side in (self.client, self.server):
            if side is not None:
                side.transport.abort()


class Link:
    """A TCP relay on a port of its own that stays the same; `target_port` may change.

    `delay_s` is added to every piece, each way. While `deaf`, answers are lost: what was asked is done.
    It turns deaf by itself when a client says `deaf_from`.
    """

    def __init__(self) -> None:
        self.port = 0
        self.target_port = 0
        self.delay_s = 0.0
        self.deaf = False
        self.deaf_from: bytes | None = None
        self._swallowing = False
        self._down = False
        self._wires: set[_Wire] = set()
        self._server: asyncio.Server | None = None

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._wires)

    async def open(self) -> None:
        """Take connections (again)."""
        if self._server is None:
            self._down = False
            self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse connections, and cut those there are: the host is down."""
        server, self._server = self._server, None
        self._down = True
        if server is not None:
            server.close()
        self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        for wire in tuple(self._wires):
            wire.abort()

    def swallow(self) -> None:
        """Half-open: the server sees its clients gone, the clients see nothing; new ones get no answer."""
        self._swallowing = True
        for wire in self._wires:
            wire.dead = True
            if wire.server is not None:
                wire.server.transport.abort()

    def heal(self) -> None:
        """As a network does: whoever had something under way is reset now, the others when they speak."""
        self.delay_s = 0.0
        self._swallowing = False
        for wire in tuple(self._wires):
            if wire.dead and wire.swallowed:
                wire.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._down:  # it was accepted just before
            writer.transport.abort()
            return
        wire = _Wire(writer, dead=self._swallowing)
        self._wires.add(wire)
        try:
            if wire.dead:
                await self._upward(reader, wire)
            else:
                await self._joined(reader, wire)
        finally:
            wire.abort()
            self._wires.discard(wire)

    async def _joined(self, reader: asyncio.StreamReader, wire: _Wire) -> None:
        try:
            onward, wire.server = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            return
        downward = asyncio.create_task(self._downward(onward, wire))
        try:
            await self._upward(reader, wire)
        finally:
            downward.cancel()
            await asyncio.gather(downward, return_exceptions=True)

    async def _upward(self, reader: asyncio.StreamReader, wire: _Wire) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if wire.dead:
                    if not self._swallowing:
                        return
                    wire.swallowed = True
                elif wire.server is not None:
                    self.deaf = self.deaf or (self.deaf_from is not None and self.deaf_from in chunk)
                    await self._pass_on(chunk, wire.server)

    async def _downward(self, reader: asyncio.StreamReader, wire: _Wire) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if not wire.dead and not self.deaf:
                    await self._pass_on(chunk, wire.client)
        if not wire.dead:
            wire.abort()

    async def _pass_on(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        writer.write(chunk)
        await writer.drain()
