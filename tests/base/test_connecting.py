"""Several hosts in one URL, some of which swallow, refuse or are of the other kind."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from postroom.base import connecting
from postroom.base.db import connect
from postroom.base.listener import free_port


def with_hosts(dsn: str, hosts: str, query: str = "") -> str:
    parts = urlsplit(dsn)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{hosts}", query=query))


def own(dsn: str) -> str:
    return urlsplit(dsn).netloc.rpartition("@")[2]


@asynccontextmanager
async def black_hole() -> AsyncIterator[str]:
    """A host that takes connections and never says a word."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_host_that_swallows_connections_is_not_waited_for(server_dsn: str) -> None:
    async with black_hole() as hole:
        began_s = time.monotonic()
        conn = await connecting.connect_first(with_hosts(server_dsn, f"{hole},{own(server_dsn)}"), timeout=60)
        try:
            assert await conn.fetchval("select 1") == 1
            assert time.monotonic() - began_s < 55, "it waited for the first one's time to be over"
        finally:
            conn.terminate()


async def test_one_that_refuses_is_passed_by_and_the_last_error_is_told(server_dsn: str) -> None:
    refuses = f"127.0.0.1:{free_port()}"
    conn = await connecting.connect_first(with_hosts(server_dsn, f"{refuses},{own(server_dsn)}"), timeout=60)
    conn.terminate()
    with pytest.raises(OSError, match=refuses.rpartition(":")[2]):
        await connecting.connect_first(with_hosts(server_dsn, f"{refuses},{refuses}"), timeout=60)


async def test_only_one_of_the_kind_that_is_asked_for_is_taken(server_dsn: str) -> None:
    hosts = f"{own(server_dsn)},{own(server_dsn)}"
    conn = await connecting.connect_first(
        with_hosts(server_dsn, hosts, "target_session_attrs=read-write"), timeout=60
    )
    conn.terminate()
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await connecting.connect_first(
            with_hosts(server_dsn, hosts, "target_session_attrs=standby"), timeout=60
        )


async def test_where_nobody_answers_the_time_is_bounded() -> None:
    async with black_hole() as one, black_hole() as other:
        with pytest.raises(TimeoutError):
            await connecting.connect_first(f"postgresql://a:b@{one},{other}/c", timeout=0.5)


async def test_a_connection_notices_that_the_other_side_is_gone(server_dsn: str) -> None:
    conn = await connect(server_dsn)
    try:
        sock = conn._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        told_ms = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert told_ms == connecting.SILENT_MAX_S * 1_000
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == connecting.SILENT_MAX_S
    finally:
        conn.terminate()
