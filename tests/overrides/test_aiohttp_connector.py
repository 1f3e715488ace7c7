"""A receiver that answers twice: the second answer must not pass for that of the next delivery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.settings import WebhookSettings
from postroom.channels.webhooks.adapter import WebhookAdapter
from postroom.outbox.model import Claim, Delivered, Message
from postroom.outbox.publish import publish
from postroom.outbox.store import claim_due
from postroom.overrides.aiohttp_connector import REST_S
from tests.fixtures.roles import pool_as

GAP_S = 0.05
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Babbler:
    """Takes one request a connection and answers it twice; later ones it drops unread.

    `taken`: ids of what it read.
    """

    def __init__(self) -> None:
        self.answers = 2
        self.taken: list[str] = []
        self.connections = 0
        self.doubled = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
            self.taken.append(head.split("webhook-id: ")[1].split("\r\n")[0])
            for number in range(self.answers):
                await asyncio.sleep(GAP_S if number else 0)
                writer.write(ANSWER)
            if self.answers > 1:
                self.doubled.set()
                await reader.read(1)
                writer.transport.abort()
                return


@pytest.fixture
async def babbler() -> AsyncIterator[tuple[Babbler, str]]:
    babbler = Babbler()
    ends: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = asyncio.Event()
        ends.append(end)
        try:
            await babbler.serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        end.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield babbler, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with asyncio.timeout(5):
            await asyncio.gather(*(end.wait() for end in ends))


async def claims(pool: Pool, url: str, count: int) -> list[Claim]:
    payload = {"url": url, "type": "invoice.paid", "data": {}}
    async with transaction(pool) as conn:
        for _ in range(count):
            await publish(conn, Message(channel="webhook", payload=payload))
    async with transaction(pool) as conn:
        return await claim_due(conn, channel="webhook", worker=1, first_max=count, retry_max=0)


@pytest.mark.parametrize(
    ("rest_s", "idle"), [(0.3, False), (REST_S, True)], ids=["while it rests", "while it is idle"]
)
async def test_a_second_answer_ends_the_connection(
    pool: Pool, babbler: tuple[Babbler, str], rest_s: float, idle: bool
) -> None:
    receiver, url = babbler
    adapter = WebhookAdapter(
        pool=pool_as(pool, "runner"),
        clock=SystemClock(),
        settings=WebhookSettings(allow_private=True, connections_per_host=1),
        rest_s=rest_s,
    )
    await adapter.start()
    try:
        for claim in await claims(pool, url, 3):
            assert isinstance(await adapter.deliver(claim), Delivered)
            assert receiver.taken[-1:] == [str(claim.message_id)]
            if idle:
                await asyncio.wait_for(receiver.doubled.wait(), 5)
                await asyncio.sleep(GAP_S)  # what is written is read in the next round of the loop
            receiver.doubled.clear()
    finally:
        await adapter.close()
    assert receiver.connections == 3


async def test_one_answer_each_keeps_the_connection(pool: Pool, babbler: tuple[Babbler, str]) -> None:
    receiver, url = babbler
    receiver.answers = 1
    adapter = WebhookAdapter(
        pool=pool_as(pool, "runner"),
        clock=SystemClock(),
        settings=WebhookSettings(allow_private=True, connections_per_host=1),
    )
    await adapter.start()
    try:
        answers = await asyncio.gather(*(adapter.deliver(claim) for claim in await claims(pool, url, 20)))
    finally:
        await adapter.close()
    assert all(isinstance(answer, Delivered) for answer in answers)
    assert len(set(receiver.taken)) == 20
    assert receiver.connections == 1
