"""The stretch of network that chaos and tests break."""

from __future__ import annotations

import asyncio
import socket

import pytest

from chaos.link import Link

SOON_S = 0.5


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(10))
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("turns", range(8))
async def test_a_connection_that_is_just_being_accepted_does_not_outlive_the_host(turns: int) -> None:
    """One that did let a settlement through that a test wanted to fail, on a busy machine."""
    behind = await asyncio.start_server(_echo, "127.0.0.1", 0)
    link = Link()
    link.target_port = behind.sockets[0].getsockname()[1]
    await link.open()
    with socket.create_connection(("127.0.0.1", link.port)) as client:
        client.setblocking(False)
        for _ in range(turns):
            await asyncio.sleep(0)
        await link.shut()
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(client, b"still there?")
            answer = await asyncio.wait_for(loop.sock_recv(client, 10), SOON_S)
        except (ConnectionError, TimeoutError):  # reset, or left without a word by asyncio
            answer = b""
    assert not answer
    behind.close()
