"""Clients that are slow on purpose, against the real server: memory stays flat, honest callers are served.

`POSTROOM_TEST_SLOW_CLIENTS=2000 POSTROOM_TEST_SLOW_S=60` is the long form.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from postroom.admin.tokens import Scope
from postroom.api.admin.application import ROUTERS
from postroom.api.http import body_limit
from postroom.base.settings import Settings
from postroom.dev.stripe_events import encode, signed, snapshot_event
from tests.fixtures.api import Api, running_api
from tests.fixtures.stripe import SECRET
from tests.processes.commands import Running, running_command
from tests.system.test_overload import resident_bytes

CLIENTS = int(os.environ.get("POSTROOM_TEST_SLOW_CLIENTS", "300"))
LASTING_S = float(os.environ.get("POSTROOM_TEST_SLOW_S", "5"))
CONNECTIONS_MAX = CLIENTS // 2
PAUSE_S = CLIENTS / 1_500
"""Between two pieces of each: what all of them send is as much for many as for few."""
RSS_GROWTH_BYTES_MAX = 60_000_000 + CONNECTIONS_MAX * 100_000
SERVED_WITHIN_S = 2.0
WITHIN_S = 10.0
HEAD = b"POST %s HTTP/1.1\r\nhost: here\r\n"
BODY = b"content-type: application/json\r\ncontent-length: 1000000\r\n\r\n"
PARTS = re.compile(r"\{[^}]+\}")


@pytest.fixture
def served(dsn: str, tmp_path: Path, unused_tcp_port: int) -> Iterator[tuple[Running, int]]:
    settings = {
        "POSTROOM_DATABASE_URL": dsn,
        "POSTROOM_STATE_DIR": str(tmp_path),
        "POSTROOM_PORT": str(unused_tcp_port),
        "POSTROOM_HTTP_CONNECTIONS_MAX": str(CONNECTIONS_MAX),
        "POSTROOM_STRIPE__WEBHOOK_SECRETS": SECRET,
    }
    with running_command(
        ["serve"], home=tmp_path, settings=settings, ready="http.listening", limit_s=40
    ) as running:
        yield running, unused_tcp_port


@pytest.mark.timeout(LASTING_S + 180)
async def test_slow_clients_take_little_memory_and_shut_nobody_out(served: tuple[Running, int]) -> None:
    running, port = served
    _open_files(CLIENTS + 500)
    assert await honest(port, 0)
    before = resident_bytes(running.process.pid)
    ends_s = time.monotonic() + LASTING_S
    kinds = cycle((endless_head, trickling_head, trickling_body, signed_body, silent))
    attack = [asyncio.create_task(again_and_again(next(kinds), port, ends_s)) for _ in range(CLIENTS)]
    at_once, again, peak = 0, 0, before
    while time.monotonic() < ends_s:
        if await honest(port, at_once):
            at_once += 1
        else:
            again += 1
        peak = max(peak, resident_bytes(running.process.pid))
        await asyncio.sleep(0.02)
    await asyncio.gather(*attack)
    assert peak - before < RSS_GROWTH_BYTES_MAX, f"{(peak - before) / 1e6:.0f} MB more"
    assert at_once > LASTING_S
    assert again <= at_once / 20, f"{again} of {at_once + again} had to ask again"


async def honest(port: int, number: int) -> bool:
    """One event of Stripe's, on a connection of its own. Returns: whether it was stored in time, not cut."""
    body = encode(
        snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"}, event_id=f"evt_{number}")
    )
    signature = signed(body, SECRET)["Stripe-Signature"].encode()
    head = HEAD % b"/v1/stripe/webhook" + b"connection: close\r\nstripe-signature: %b\r\n" % signature
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(SERVED_WITHIN_S), connection(port) as (reader, writer):
            writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            return (await reader.read()).startswith(b"HTTP/1.1 200")
    return False


async def again_and_again(attack: Callable[[int], AsyncIterator[bytes]], port: int, ends_s: float) -> None:
    while time.monotonic() < ends_s:
        with suppress(ConnectionError, TimeoutError):
            async with connection(port) as (reader, writer), asyncio.timeout(ends_s - time.monotonic()):
                async for piece in attack(port):
                    writer.write(piece)
                    await writer.drain()
                    if reader.at_eof():
                        break
        await asyncio.sleep(5 * PAUSE_S)


async def endless_head(_: int) -> AsyncIterator[bytes]:
    yield HEAD % b"/"
    while True:
        yield b"x-long: " + b"a" * 16_000 + b"\r\n"
        await asyncio.sleep(PAUSE_S)


async def trickling_head(_: int) -> AsyncIterator[bytes]:
    yield HEAD % b"/" + b"x-long: "
    while True:
        yield b"a"
        await asyncio.sleep(PAUSE_S)


async def trickling_body(_: int) -> AsyncIterator[bytes]:
    yield HEAD % b"/v1/admin/tokens" + BODY
    while True:
        yield b" " * 20_000
        await asyncio.sleep(PAUSE_S)


async def signed_body(_: int) -> AsyncIterator[bytes]:
    yield HEAD % b"/v1/stripe/webhook" + b"stripe-signature: t=1,v1=00\r\n" + BODY
    for _ in range(40):
        yield b" " * 20_000
        await asyncio.sleep(PAUSE_S)
    await asyncio.sleep(3_600)


async def silent(_: int) -> AsyncIterator[bytes]:
    yield b""
    await asyncio.sleep(3_600)


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path, stripe={"webhook_secrets": SECRET})) as running:  # type: ignore[arg-type]
        running.lift_rate_limits()
        yield running


def port_of(api: Api) -> int:
    port = api.client._base_url.port  # type: ignore[union-attr]
    assert port is not None
    return port


async def test_who_has_no_token_is_refused_before_the_body_is_read(api: Api) -> None:
    operations = [(route.path, method) for route in _routes() for method in route.methods or ()]
    operations = [each for each in operations if each[1] != "GET"]
    assert len(operations) > 20
    for path, method in [*operations, ("/v1/stripe/webhook", "POST"), ("/v1/events", "POST")]:
        status = b"400" if "stripe" in path else b"401"
        head = HEAD.replace(b"POST", method.encode()) % PARTS.sub("x", path).encode() + BODY
        async with connection(port_of(api)) as (reader, writer), asyncio.timeout(WITHIN_S):
            writer.write(head + b"{")
            assert await reader.readline() == b"HTTP/1.1 %b %b\r\n" % (
                status,
                b"Bad Request" if status == b"400" else b"Unauthorized",
            ), path


async def test_a_body_that_trickles_has_a_total_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "TOTAL_S", 0.5)
    token = await api.make_token(Scope.EVENTS_WRITE)
    head = HEAD % b"/v1/events" + b"authorization: Bearer %b\r\n" % token.encode() + BODY
    async with connection(port_of(api)) as (reader, writer), asyncio.timeout(WITHIN_S):
        writer.write(head)
        answer = asyncio.create_task(reader.readline())
        while not answer.done():
            writer.write(b" ")
            await asyncio.wait([answer], timeout=0.05)
        assert await answer == b"HTTP/1.1 408 Request Timeout\r\n"


async def test_bodies_that_come_slowly_share_a_limit_of_memory(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "HELD_BYTES_MAX", 150_000)
    token = await api.make_token(Scope.EVENTS_WRITE)
    head = HEAD % b"/v1/events" + b"authorization: Bearer %b\r\n" % token.encode() + BODY
    async with connection(port_of(api)) as first, connection(port_of(api)) as second:
        for _, writer in (first, second):
            writer.write(head + b" " * 100_000)
        async with asyncio.timeout(WITHIN_S):
            done, _ = await asyncio.wait(
                [asyncio.create_task(reader.readuntil(b"\r\n\r\n")) for reader, _ in (first, second)],
                return_when=asyncio.FIRST_COMPLETED,
            )
        [refused] = [task.result() for task in done]
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5" in refused.lower()
        small = await api.post("/v1/events", json={"channel": "email", "payload": {}})
        assert small.status == 422, "what fits into one piece is not held up"


def _routes() -> list[APIRoute]:
    return [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def _open_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))
