"""uvicorn writes head and body apart; what reaches the socket is one piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import aiohttp
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from postroom.base.listener import listen
from postroom.overrides.uvicorn_protocol import JoinedHttpProtocol


class CountingTransport:
    """A real transport that remembers what was written at a time."""

    writes: list[bytes]

    def __init__(self, transport: asyncio.Transport) -> None:
        self.writes = []
        self._transport = transport

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CountingProtocol(JoinedHttpProtocol):
    transports: ClassVar[list[CountingTransport]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        counting = CountingTransport(transport)
        self.transports.append(counting)
        super().connection_made(counting)  # type: ignore[arg-type]


async def _answer(_: Request) -> PlainTextResponse:
    return PlainTextResponse("body")


@pytest.fixture
async def url() -> AsyncIterator[str]:
    CountingProtocol.transports = []
    listener = listen("127.0.0.1", 0)
    application = Starlette(routes=[Route("/", _answer)])
    server = uvicorn.Server(uvicorn.Config(application, http=CountingProtocol, ws="none", log_config=None))
    serving = asyncio.create_task(server.serve([listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    server.should_exit = True
    await serving
    listener.close()


async def test_head_and_body_leave_by_one_write(url: str) -> None:
    async with aiohttp.ClientSession() as client:
        for _ in range(3):
            async with client.get(url) as answer:
                assert await answer.text() == "body"
    [transport] = CountingProtocol.transports
    assert len(transport.writes) == 3
    assert all(each.startswith(b"HTTP/1.1 200") and each.endswith(b"body") for each in transport.writes)


async def test_what_waits_is_sent_before_the_connection_closes(url: str) -> None:
    async with aiohttp.ClientSession() as client, client.get(url, headers={"connection": "close"}) as answer:
        assert await answer.text() == "body"
    [transport] = CountingProtocol.transports
    assert len(transport.writes) == 1
