"""nats-py goes on in plain text where a server says that it has no TLS; ours does not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from postroom.overrides.nats_tls import TlsClient

HANDSHAKE = b"\x16"
GREETING = b'INFO {"server_id":"x","version":"2.10.0","max_payload":1024,"tls_required":false}\r\n'


class Plain:
    """Says that it has no TLS, and keeps what it is sent first."""

    def __init__(self) -> None:
        self.got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        found = await reader.read(1_000)
        if not self.got.done():
            self.got.set_result(found)
        writer.close()


@pytest.fixture
async def plain() -> AsyncIterator[Plain]:
    plain = Plain()
    async with await asyncio.start_server(plain.answer, "127.0.0.1", 0) as server:
        plain.port = server.sockets[0].getsockname()[1]
        yield plain


async def first_sent(client: Client, plain: Plain) -> bytes:
    connecting = asyncio.create_task(
        client.connect(
            f"tls://127.0.0.1:{plain.port}",
            user="app",
            password="example",
            tls=ssl.create_default_context(),
            tls_hostname="localhost",
            allow_reconnect=False,
        )
    )
    try:
        async with asyncio.timeout(10):
            return await plain.got
    finally:
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)


async def test_what_it_is_for(plain: Plain) -> None:
    """Where this fails, nats-py has learned it, and the override can go."""
    assert (await first_sent(Client(), plain)).startswith(b"CONNECT")


async def test_no_login_goes_out_in_plain_text(plain: Plain) -> None:
    found = await first_sent(TlsClient(), plain)
    assert found.startswith(HANDSHAKE)
    assert b"example" not in found
