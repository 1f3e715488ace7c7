"""Slow and hostile clients on real sockets: uvicorn alone would keep them all, for ever."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from postroom.base.listener import listen
from postroom.overrides.uvicorn_limits import HEAD_BYTES_MAX, HEADERS_MAX, BoundedHttpProtocol, Connections

PATIENCE_S = 0.4
WITHIN_S = 10.0
CONNECTIONS_MAX = 8
LARGE_BYTES = 50_000_000
GET = b"GET / HTTP/1.1\r\nhost: here\r\n"

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Scene:
    """A server, and connections to it."""

    def __init__(self) -> None:
        self.port = 0
        self.refused: Counter[str] = Counter()
        self.held = asyncio.Event()
        self.in_work = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self, sent: bytes = b"", *, limit: int = 65_536) -> Peer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        self._writers.append(writer)
        writer.write(sent)
        return reader, writer

    async def until_refused(self, why: str, count: int = 1) -> None:
        async with asyncio.timeout(WITHIN_S):
            while self.refused[why] < count:
                await asyncio.sleep(0.01)

    async def small(self, _: Request) -> PlainTextResponse:
        return PlainTextResponse("body")

    async def large(self, _: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(LARGE_BYTES // 100_000):
                yield b"x" * 100_000

        return StreamingResponse(pieces())

    async def hold(self, _: Request) -> PlainTextResponse:
        self.in_work += 1
        await self.held.wait()
        return PlainTextResponse("held")

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def serving(connections_max: int = CONNECTIONS_MAX) -> AsyncIterator[Scene]:
    scene = Scene()
    handlers = {"/": scene.small, "/large": scene.large, "/hold": scene.hold}
    routes = [Route(path, handler, methods=["GET", "POST"]) for path, handler in handlers.items()]
    bounds = Connections(
        connections_max=connections_max,
        patience_s=PATIENCE_S,
        on_refused=lambda why: scene.refused.update([why]),
    )
    http = partial(BoundedHttpProtocol, bounds=bounds)
    config = uvicorn.Config(Starlette(routes=routes), http=http, ws="none", log_config=None)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0) as listener:
        scene.port = listener.getsockname()[1]
        running = asyncio.create_task(server.serve([listener]))
        try:
            yield scene
        finally:
            scene.held.set()
            scene.close()
            server.should_exit = True
            await running


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with serving() as scene:
        yield scene


async def all_of(peer: Peer) -> bytes:
    """What comes until the server closes."""
    async with asyncio.timeout(WITHIN_S):
        return await peer[0].read()


async def answer_of(peer: Peer) -> bytes:
    async with asyncio.timeout(WITHIN_S):
        try:
            return await peer[0].readuntil(b"body")
        except asyncio.IncompleteReadError as cut:
            pytest.fail(f"cut after {cut.partial!r}")


async def pour(peer: Peer, piece: bytes) -> None:
    """Send one piece after the other until the server closes."""
    try:
        async with asyncio.timeout(WITHIN_S):
            while not peer[0].at_eof():
                peer[1].write(piece)
                await peer[1].drain()
                await asyncio.sleep(0)  # for what arrives
    except ConnectionError:
        return


@pytest.mark.parametrize(
    "piece",
    [b"a" * 16_384, b"x-one: 1\r\n" * 10],
    ids=["one endless header", "endless headers"],
)
async def test_a_head_without_end_is_cut(scene: Scene, piece: bytes) -> None:
    peer = await scene.connect(GET + b"x-long: ")
    await pour(peer, piece)
    assert scene.refused == {"header_size": 1}


@pytest.mark.parametrize(
    "headers",
    [b"x-long: " + b"a" * HEAD_BYTES_MAX + b"\r\n", b"x-one: 1\r\n" * (HEADERS_MAX + 1)],
    ids=["too long", "too many"],
)
async def test_a_whole_head_that_is_too_large_is_answered_431(scene: Scene, headers: bytes) -> None:
    answer = await all_of(await scene.connect(GET + headers + b"\r\n"))
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"request_header_fields_too_large"' in answer
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_head_as_large_as_allowed_passes(scene: Scene) -> None:
    head = GET + b"x-long: " + b"a" * (HEAD_BYTES_MAX - 200) + b"\r\n\r\n"
    assert (await answer_of(await scene.connect(head))).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("piece", [b"1;" + b"e" * 1_000 + b"\r\nx\r\n", b"0\r\n" + b"t: " + b"e" * 1_000])
async def test_what_surrounds_a_body_has_a_limit_too(scene: Scene, piece: bytes) -> None:
    peer = await scene.connect(
        b"POST /hold HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n" + piece
    )
    await pour(peer, b"e" * 16_384 if piece.startswith(b"0") else piece)
    assert scene.refused == {"header_size": 1}


async def test_a_large_body_in_small_chunks_passes(scene: Scene) -> None:
    head = b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
    peer = await scene.connect(head + b"10\r\n0123456789abcdef\r\n" * 20_000 + b"0\r\n\r\n")
    assert (await answer_of(peer)).startswith(b"HTTP/1.1 200")


async def test_requests_sent_ahead_are_few(scene: Scene) -> None:
    await all_of(await scene.connect(b"GET /hold HTTP/1.1\r\nhost: here\r\n\r\n" + (GET + b"\r\n") * 1_000))
    assert scene.refused == {"header_size": 1}


async def test_a_head_that_does_not_end_is_answered_408(scene: Scene) -> None:
    assert (await all_of(await scene.connect(GET))).startswith(b"HTTP/1.1 408 ")
    kept = await scene.connect(GET + b"\r\n")
    await answer_of(kept)
    kept[1].write(GET)
    assert (await all_of(kept)).startswith(b"HTTP/1.1 408 ")
    assert scene.refused == {"header_time": 2}


async def test_an_idle_connection_is_kept_and_its_next_head_has_all_its_time(scene: Scene) -> None:
    """A proxy's connection is idle for minutes; one that we close loses the request that is on its way."""
    peer = await scene.connect(GET + b"\r\n")
    await answer_of(peer)
    for _ in range(3):
        await asyncio.sleep(PATIENCE_S * 1.7)
        peer[1].write(GET)
        await asyncio.sleep(PATIENCE_S * 0.7)
        peer[1].write(b"\r\n")
        assert (await answer_of(peer)).strip().startswith(b"HTTP/1.1 200")
    assert not scene.refused


async def test_an_idle_connection_makes_room(scene: Scene) -> None:
    idle = [await scene.connect(GET + b"\r\n") for _ in range(CONNECTIONS_MAX)]
    for each in idle:
        await answer_of(each)
    await asyncio.sleep(PATIENCE_S * 2)
    assert (await answer_of(await scene.connect(GET + b"\r\n"))).startswith(b"HTTP/1.1 200")
    assert scene.refused == {"connections": 1}


async def test_an_idle_connection_goes_before_one_that_has_begun(scene: Scene) -> None:
    for _ in range(CONNECTIONS_MAX - 1):
        await scene.connect(GET)
    idle = await scene.connect(GET + b"\r\n")
    await answer_of(idle)
    await answer_of(await scene.connect(GET + b"\r\n"))
    assert await all_of(idle) == b""
    assert scene.refused == {"connections": 1}


async def test_bytes_that_trickle_do_not_buy_time(scene: Scene) -> None:
    peer = await scene.connect(GET)
    await pour(peer, b"x")
    assert scene.refused == {"header_time": 1}


async def test_who_says_nothing_is_closed(scene: Scene) -> None:
    assert await all_of(await scene.connect()) == b""
    assert not scene.refused


async def test_a_body_that_goes_on_after_the_answer_is_cut(scene: Scene) -> None:
    peer = await scene.connect(b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 10000000000\r\n\r\n")
    await answer_of(peer)
    await pour(peer, b"x")
    assert scene.refused == {"header_time": 1}


async def test_who_takes_no_answer_is_cut(scene: Scene) -> None:
    await scene.connect(b"GET /large HTTP/1.1\r\nhost: here\r\n\r\n", limit=1)
    await scene.until_refused("answer_not_taken")


async def test_who_takes_an_answer_slowly_gets_it_all(scene: Scene) -> None:
    reader, _ = await scene.connect(b"GET /large HTTP/1.1\r\nhost: here\r\n\r\n", limit=1)
    taken = 0
    async with asyncio.timeout(60):
        while taken < LARGE_BYTES:
            piece = await reader.read(1_000_000)
            assert piece, f"cut after {taken} bytes"
            taken += len(piece)
            await asyncio.sleep(PATIENCE_S / 20)
    assert not scene.refused


async def test_who_keeps_us_waiting_longest_makes_room() -> None:
    async with serving() as scene:
        slow = [await scene.connect(GET) for _ in range(CONNECTIONS_MAX)]
        honest = await scene.connect(GET + b"\r\n")
        assert (await answer_of(honest)).startswith(b"HTTP/1.1 200")
        assert await all_of(slow[0]) == b""
        assert scene.refused["connections"] == 1


async def test_where_all_are_in_work_one_more_is_answered_503(scene: Scene) -> None:
    for _ in range(CONNECTIONS_MAX):
        await scene.connect(b"GET /hold HTTP/1.1\r\nhost: here\r\n\r\n")
    async with asyncio.timeout(WITHIN_S):
        while scene.in_work < CONNECTIONS_MAX:
            await asyncio.sleep(0.01)
    answer = await all_of(await scene.connect())
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in answer
