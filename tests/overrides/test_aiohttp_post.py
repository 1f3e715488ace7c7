"""What is sent and how answers are read is aiohttp's; only the layers of its session are left out."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from postroom.channels.webhooks.adapter import read_excerpt
from postroom.channels.webhooks.answer import judge_answer, judge_failure
from postroom.channels.webhooks.client import PublicResolver, open_session
from postroom.outbox.model import Delivered, Outcome, RetryLater
from postroom.overrides import aiohttp_post
from postroom.overrides.aiohttp_post import PostClient
from tests.fixtures.names import Names
from tests.fixtures.tls import tls_host

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
BODY: Final = b'{"type":"invoice.paid"}'
HEADERS: Final = {"webhook-id": "1", "postroom-correlation-id": "case%207"}
OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
WITHIN_S: Final = 5.0
LARGE: Final = b"x" * 32_000_000
"""More than the buffers of two sockets hold."""

Said = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Send = Callable[[URL], Awaitable[Outcome]]


class Stranger:
    """A receiver that says what a test wants it to. `heard`: each request, as it came."""

    def __init__(self, said: bytes | Said) -> None:
        self.said = said
        self.heard: list[bytes] = []
        self.connections = 0
        self.left = asyncio.Event()
        """The client has ended a connection."""
        self.open: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open[asyncio.current_task()] = writer
        try:
            await self._converse(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            writer.close()
            del self.open[asyncio.current_task()]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            self.heard.append(head + await reader.readexactly(size))
            if callable(self.said):
                await self.said(reader, writer)
            else:
                writer.write(self.said)
                if self.said is not OK:
                    return


@asynccontextmanager
async def stranger(said: bytes | Said) -> AsyncIterator[tuple[Stranger, URL]]:
    receiver = Stranger(said)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    try:
        yield receiver, URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks")
    finally:
        server.close()
        for writer in receiver.open.values():
            writer.close()
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*(task for task in receiver.open if task))


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with opened(connect_timeout_s=WITHIN_S) as session:
        yield session


@asynccontextmanager
async def opened(*, connect_timeout_s: float) -> AsyncIterator[aiohttp.ClientSession]:
    """As the adapter has it, with one connection a host."""
    async with open_session(
        allow_private=True,
        connect_timeout_s=connect_timeout_s,
        connections_max=4,
        connections_per_host=1,
        resolver=PublicResolver(allow_private=True, names=Names("127.0.0.1")),
    ) as session:
        yield session


async def outcome_of(client: PostClient, url: URL, body: bytes = BODY) -> Outcome:
    """As the adapter asks it."""
    try:
        async with asyncio.timeout(WITHIN_S):
            response = await client.post(url, headers=HEADERS, body=body)
        with response:
            detail = await read_excerpt(response.content, WITHIN_S)
            return judge_answer(response.status, response.headers, detail, NOW)
    except (aiohttp.ClientError, TimeoutError) as error:
        return judge_failure(error)


async def outcome_by_session(session: aiohttp.ClientSession, url: URL) -> Outcome:
    """The same by the layers that are left out."""
    try:
        async with asyncio.timeout(WITHIN_S):
            response = await session.post(url, data=BODY, headers=HEADERS, allow_redirects=False)
        async with response:
            detail = await read_excerpt(response.content, WITHIN_S)
            return judge_answer(response.status, response.headers, detail, NOW)
    except (aiohttp.ClientError, TimeoutError) as error:
        return judge_failure(error)


async def code_of(client: PostClient, url: URL, body: bytes = BODY) -> str | None:
    return _code(await outcome_of(client, url, body))


def _code(outcome: Outcome) -> str | None:
    assert isinstance(outcome, Delivered | RetryLater)
    return outcome.code


@pytest.mark.parametrize(
    "form",
    [
        "http://127.0.0.1:{port}/",
        "http://127.0.0.1:{port}/a%20b/ü?x=1&y=%2F#z",
        "http://bücher.example:{port}",
    ],
)
async def test_a_receiver_gets_the_lines_that_a_session_sends(
    session: aiohttp.ClientSession, form: str
) -> None:
    async with stranger(OK) as (receiver, here):
        url = URL(form.replace("{port}", str(here.port)))
        assert await outcome_by_session(session, url) == await outcome_of(PostClient(session), url)
    (line, *lines), (other_line, *other_lines) = (each.split(b"\r\n") for each in receiver.heard)
    assert (line, sorted(lines)) == (other_line, sorted(other_lines))
    assert receiver.heard[1].endswith(b"\r\n\r\n" + BODY)
    assert receiver.connections == 1


async def test_a_header_cannot_end_its_line(session: aiohttp.ClientSession) -> None:
    async with stranger(OK) as (receiver, url):
        with pytest.raises(ValueError, match="header"):
            await PostClient(session).post(url, headers={"x": "1\r\ny: 2"}, body=BODY)
        assert not receiver.connections


ANSWERS: Final = {
    "length": (OK, "200", "ok"),
    "chunked": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "200", "ok"),
    "until the end": (b"HTTP/1.1 200 OK\r\n\r\nok", "200", "ok"),
    "HTTP/1.0": (b"HTTP/1.0 500 No\r\n\r\nwhy", "500", "why"),
    "cut body": (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "200", "ok"),
    "bad chunk": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n",
        "protocol",
        None,
    ),
    "informational first": (
        b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hints\r\nlink: a\r\n\r\n" + OK,
        "200",
        "ok",
    ),
    "nothing but informational": (b"HTTP/1.1 100 Go\r\n\r\n" * 50, "disconnected", None),
    "switching": (b"HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nbytes", "101", ""),
    "no content, and some": (b"HTTP/1.1 204 None\r\n\r\nmore", "protocol", None),
    "not modified": (b"HTTP/1.1 304 Same\r\ncontent-length: 5\r\n\r\n", "304", ""),
    "packed": (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok", "200", "ok"),
    "two answers": (OK + b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", "200", "ok"),
    "no HTTP": (b"220 mail.example.com ESMTP\r\n\r\n", "protocol", None),
    "another version": (b"HTTP/3.9 200 OK\r\n\r\n", "protocol", None),
    "long header": (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 9_000 + b"\r\n\r\n", "protocol", None),
    "many headers": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 500 + b"\r\n", "protocol", None),
    "negative length": (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "protocol", None),
    "two lengths": (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok", "protocol", None),
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-le", "disconnected", None),
    "nothing": (b"", "disconnected", None),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_is_what_it_is_for_a_session(session: aiohttp.ClientSession, name: str) -> None:
    said, code, detail = ANSWERS[name]
    async with stranger(said) as (receiver, url):
        outcome = await outcome_of(PostClient(session), url)
        assert isinstance(outcome, Delivered | RetryLater)
        assert (outcome.code, outcome.detail) == (code, detail)
        assert outcome == await outcome_by_session(session, url)
        # What is not in order, to the last byte, ends the connection.
        assert receiver.connections == (1 if said is OK else 2)


async def test_whatever_bytes_come_it_is_what_it_is_for_a_session(session: aiohttp.ClientSession) -> None:
    """Answers of the table, with bytes changed, lost, doubled or from another one."""
    chance, client = random.Random(46), PostClient(session)
    known = [said for said, _, _ in ANSWERS.values() if said]
    async with stranger(b"") as (receiver, url):
        for _ in range(250):
            receiver.said = _spoilt(chance, known)
            assert await outcome_of(client, url) == await outcome_by_session(session, url), receiver.said


def _spoilt(chance: random.Random, known: list[bytes]) -> bytes:
    said = bytearray(chance.choice(known)[:2_000])
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(said) + 1)
        end = min(len(said), at + chance.choice((1, 1, 2, 20)))
        match chance.randrange(4):
            case 0:
                said[at:end] = bytes([chance.choice(b"\r\n\0 :;,0189afHT\xff")])
            case 1:
                del said[at:end]
            case 2:
                said[at:at] = said[at:end] * chance.choice((1, 2, 200))
            case _:
                said[at:] = chance.choice(known)[chance.randrange(30) :]
    return bytes(said)


async def test_an_answer_byte_by_byte_has_the_time_limit_of_one(session: aiohttp.ClientSession) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx: ")
        while not writer.is_closing():
            writer.write(b"y")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with stranger(drip) as (receiver, url):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await PostClient(session).post(url, headers=HEADERS, body=BODY)
        receiver.said = OK
        assert await code_of(PostClient(session), url) == "200"
    assert receiver.connections == 2


async def test_who_is_cancelled_leaves_no_connection_and_takes_no_place(
    session: aiohttp.ClientSession,
) -> None:
    """Else the late answer would be that of the next request, or the host's only place would be gone."""

    async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)

    async with stranger(wait) as (receiver, url):
        task = asyncio.create_task(outcome_of(PostClient(session), url))
        async with asyncio.timeout(WITHIN_S):
            while not receiver.heard:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await receiver.left.wait()
        assert task.cancelled()
        receiver.said = OK
        assert await code_of(PostClient(session), url) == "200"
    assert receiver.connections == 2


async def test_a_handshake_without_an_answer_has_the_time_limit_of_connecting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = URL(f"https://127.0.0.1:{silent.getsockname()[1]}/")
        async with opened(connect_timeout_s=0.1) as session:
            assert await code_of(PostClient(session), url) == "connect_timeout"


async def test_who_hangs_up_at_once_takes_no_place(session: aiohttp.ClientSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WITHIN_S)
        url = URL(f"http://127.0.0.1:{server.getsockname()[1]}/")
        hanging_up = asyncio.create_task(asyncio.to_thread(_hang_up, server, 100))
        codes = {await code_of(PostClient(session), url) for _ in range(100)}
        await asyncio.wait_for(hanging_up, WITHIN_S)
        assert codes <= {"disconnected", "connect"}
        last = asyncio.create_task(code_of(PostClient(session), url))
        taken, _ = await asyncio.to_thread(server.accept)
        with taken:
            taken.sendall(OK)
            assert await last == "200"


def _hang_up(server: socket.socket, times: int) -> None:
    for _ in range(times):
        taken, _ = server.accept()
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        taken.close()


async def test_who_takes_nothing_is_cut_when_the_time_is_over(session: aiohttp.ClientSession) -> None:
    """Closing alone would wait for it for ever, with the body in memory."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WITHIN_S)
        url = URL(f"http://127.0.0.1:{server.getsockname()[1]}/")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await PostClient(session).post(url, headers=HEADERS, body=LARGE)
        taken, _ = server.accept()
        with taken:
            assert await asyncio.to_thread(_taken, taken) < len(LARGE)


def _taken(sock: socket.socket) -> int:
    """How many bytes come until the other side has ended it."""
    sock.settimeout(WITHIN_S)
    size = 0
    try:
        while part := sock.recv(1_000_000):
            size += len(part)
    except ConnectionResetError:
        pass
    return size


@pytest.mark.parametrize("patience_s", [WITHIN_S, 0.0])
async def test_who_answers_early_gets_the_rest_within_a_time_and_no_second_request(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, patience_s: float
) -> None:
    monkeypatch.setattr(aiohttp_post, "UNSENT_WITHIN_S", patience_s)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WITHIN_S)
        url = URL(f"http://127.0.0.1:{server.getsockname()[1]}/")
        first = asyncio.create_task(outcome_of(PostClient(session), url, LARGE))
        early, _ = await asyncio.to_thread(server.accept)
        with early:
            early.sendall(OK)
            assert _code(await first) == "200"
            second = asyncio.create_task(outcome_of(PostClient(session), url))
            other, _ = await asyncio.to_thread(server.accept)
            with other:
                other.sendall(OK)
                assert _code(await second) == "200"
            assert (await asyncio.to_thread(_taken, early) > len(LARGE)) == (patience_s > 0)


async def test_a_certificate_is_that_of_the_urls_host_wherever_the_name_leads(tmp_path: Path) -> None:
    heard: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append((request.host, await request.read()))
        return web.Response(text="ok")

    async with tls_host(tmp_path, "hooks.example", answer=answer) as host:
        async with aiohttp.ClientSession(connector=host.connector()) as session:
            client = PostClient(session)
            assert await code_of(client, URL("https://hooks.example/")) == "200"
            assert await code_of(client, URL("https://other.example/")) == "tls"
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=Names("127.0.0.1"))
        ) as strict:
            assert await code_of(PostClient(strict), URL(f"https://hooks.example:{host.port}/")) == "tls"
    assert heard == [("hooks.example", BODY)]
