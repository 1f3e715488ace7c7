"""The webhook over real HTTP: every answer it can give, and what is stored behind it."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from postroom.api.intake.stripe_webhook import StripeWebhook
from postroom.base.db import Pool, open_pool
from postroom.dev.stripe_events import encode, signed, snapshot_event
from tests.fixtures.stripe import SECRET, Scene

PATH = "/v1/stripe/webhook"
EVENT = snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"}, event_id="evt_1")
BODY = encode(EVENT)


class Gate:
    """A TCP relay to PostgreSQL that can be shut: the database is away then."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, backward = await asyncio.open_connection(*self._target)
        self._writers |= {writer, backward}
        await asyncio.gather(_pump(reader, backward), _pump(onward, writer))
        self._writers -= {writer, backward}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def served(scene: Scene) -> AsyncIterator[str]:
    """The route in a real server on a free port."""
    app = Starlette(routes=[Route(PATH, StripeWebhook(scene.ingest, scene.settings), methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}{PATH}"
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(pool, tmp_path)
    yield scene
    await scene.close()


@pytest.fixture
async def url(scene: Scene) -> AsyncIterator[str]:
    async with served(scene) as url:
        yield url


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def test_a_signed_event_is_acknowledged_after_the_commit(
    scene: Scene, url: str, http: aiohttp.ClientSession
) -> None:
    async with http.post(url, data=BODY, headers=signed(BODY, SECRET)) as answer:
        told = await answer.json()
        assert answer.status == 200
    kept = await scene.row("select message_id, raw from postroom.stripe_event")
    assert kept["raw"] == BODY
    assert told == {"received": True, "id": str(kept["message_id"]), "duplicate": False}
    async with http.post(url, data=BODY, headers=signed(BODY, SECRET)) as answer:
        assert answer.status == 200
        assert await answer.json() == {**told, "duplicate": True}


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (BODY, dict, "signature_invalid"),
        (BODY, lambda: {"Stripe-Signature": "t=1,v1=00"}, "signature_invalid"),
        (BODY, lambda: signed(BODY, "whsec_of_somebody_else"), "signature_invalid"),
        (BODY, lambda: signed(BODY, SECRET, t=1_700_000_000), "signature_invalid"),
        (BODY + b" ", lambda: signed(BODY, SECRET), "signature_invalid"),
        (b'{"id":', lambda: signed(b'{"id":', SECRET), "invalid_input"),
        (b"[]", lambda: signed(b"[]", SECRET), "invalid_input"),
        (b'{"object":"event"}', lambda: signed(b'{"object":"event"}', SECRET), "invalid_input"),
    ],
)
async def test_a_bad_signature_or_body_is_a_problem_with_a_code(
    *,
    scene: Scene,
    url: str,
    http: aiohttp.ClientSession,
    body: bytes,
    headers: Callable[[], dict[str, str]],  # signed when it is sent: a signature lives five minutes
    code: str,
) -> None:
    async with http.post(url, data=body, headers=headers()) as answer:
        assert answer.status == 400
        assert answer.content_type == "application/problem+json"
        problem = await answer.json(content_type=None)
    assert (problem["status"], problem["code"]) == (400, code)
    assert SECRET not in str(problem)
    assert await scene.count("error") == 1
    assert await scene.pool.fetchval("select count(*) from postroom.message") == 0


@pytest.mark.parametrize("announced", [True, False])
async def test_two_megabytes_are_too_large(url: str, http: aiohttp.ClientSession, announced: bool) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield b"x" * 65_536

    data = io.BytesIO(b"x" * 2_097_152) if announced else stream()
    async with http.post(url, data=data, headers={"Stripe-Signature": "t=1,v1=00"}) as answer:
        assert answer.status == 413
        assert (await answer.json(content_type=None))["code"] == "too_large"


async def test_while_the_database_is_away_stripe_is_asked_to_come_again(
    dsn: str, scene: Scene, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    parts = urlsplit(dsn)
    gate = Gate(parts.hostname or "127.0.0.1", parts.port or 5432)
    await gate.open()
    credentials = parts.netloc.rpartition("@")[0]
    through = urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{gate.port}"))
    pool = await open_pool(through)
    behind = Scene(pool, tmp_path)
    async with served(behind) as url:
        await gate.shut()
        async with http.post(url, data=BODY, headers=signed(BODY, SECRET)) as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
        await gate.open()
        async with http.post(url, data=BODY, headers=signed(BODY, SECRET)) as answer:
            assert answer.status == 200
            assert not (await answer.json())["duplicate"]
    await behind.close()
    await pool.close()
    await gate.shut()
    assert await scene.state("evt_1") == "received"


async def test_two_hundred_at_once_are_all_stored(
    scene: Scene, url: str, http: aiohttp.ClientSession
) -> None:
    async def send(number: int) -> int:
        body = encode({**EVENT, "id": f"evt_{number}"})
        async with http.post(url, data=body, headers=signed(body, SECRET)) as answer:
            return answer.status

    assert set(await asyncio.gather(*(send(number) for number in range(200)))) == {200}
    assert await scene.pool.fetchval("select count(*) from postroom.stripe_event") == 200
