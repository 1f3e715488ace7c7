"""What is written and told without the layers of aiormq's `basic_publish` is what it writes and tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiormq
import pytest
from aiormq import spec
from aiormq.connection import TransportFactory
from yarl import URL

from chaos.rabbitmq import RabbitMq, rabbitmq
from postroom.overrides.aiormq_publish import SharedChannel

QUEUE = "orders"
FULL = "full"
FRAME_MAX = 4_096
ROOM = FRAME_MAX - 8


class Recording(asyncio.StreamWriter):
    """Keeps what is written."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
        super().write(data)


class Dialled(TransportFactory):
    writer: Recording

    async def create(self, url: URL, **_: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
        protocol: Any = asyncio.StreamReaderProtocol(reader)
        transport, _protocol = await loop.create_connection(lambda: protocol, url.host or "", url.port or 0)
        self.writer = Recording(transport, protocol, reader, loop)
        return reader, self.writer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    async def declare(url: str) -> None:
        async with aiormq.connect(url) as connection:
            channel = await connection.channel()
            await channel.queue_declare(QUEUE, durable=True)
            refuses: Any = {"x-max-length": 0, "x-overflow": "reject-publish"}
            await channel.queue_declare(FULL, durable=True, arguments=refuses)

    with rabbitmq(tmp_path_factory.mktemp("rabbitmq"), more=f"frame_max = {FRAME_MAX}\n") as server:
        asyncio.run(declare(str(server.url())))
        yield server


class Both:
    """One channel, and both ways to publish on it."""

    def __init__(self, channel: aiormq.Channel, writer: Recording) -> None:
        self.channel = channel
        self.writer = writer

    async def library(self, method: spec.Basic.Publish, body: bytes, properties: Any) -> Any:
        try:
            return await self.channel.basic_publish(
                body, exchange=method.exchange, routing_key=method.routing_key, mandatory=method.mandatory,
                properties=properties,
            )  # fmt: skip
        except aiormq.exceptions.AMQPError as error:
            return error

    async def ours(self, method: spec.Basic.Publish, body: bytes, properties: Any) -> Any:
        confirmation = asyncio.get_running_loop().create_future()
        shared = SharedChannel(self.channel, self.writer, method)
        assert shared.takes(properties.message_id)
        shared.publish(body, properties, confirmation)
        assert not shared.takes(properties.message_id)
        async with asyncio.timeout(10):
            await asyncio.wait([confirmation])
        await asyncio.sleep(0)
        assert self.channel.is_closed or shared.takes(properties.message_id)
        return confirmation.exception() or confirmation.result()


@pytest.fixture
async def both(server: RabbitMq) -> AsyncIterator[Both]:
    dialled = Dialled()
    connection = aiormq.Connection(URL(str(server.url())), transport_factory=dialled)
    await connection.connect()
    channel: Any = await connection.channel(on_return_raises=True)
    yield Both(channel, dialled.writer)
    await connection.close()


def properties(number: int) -> spec.Basic.Properties:
    return spec.Basic.Properties(
        content_type="application/json", delivery_mode=2, message_id=f"id-{number}", headers={"n": "ü"}
    )


@pytest.mark.parametrize("size", [0, 1, ROOM - 1, ROOM, ROOM + 1, 3 * ROOM + 1])
async def test_the_same_bytes_are_written(both: Both, size: int) -> None:
    method = spec.Basic.Publish(routing_key=QUEUE, mandatory=True)
    written = []
    for way in (both.library, both.ours):
        both.writer.written.clear()
        assert isinstance(await way(method, b"x" * size, properties(1)), spec.Basic.Ack)
        written.append(b"".join(both.writer.written))
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (spec.Basic.Publish(routing_key="nobody", mandatory=True), aiormq.exceptions.PublishError),
        (spec.Basic.Publish(routing_key=FULL), aiormq.exceptions.DeliveryError),
        (spec.Basic.Publish(exchange="nobody"), aiormq.exceptions.ChannelNotFoundEntity),
    ],
)
async def test_the_same_is_told_of_what_the_broker_does_not_take(
    server: RabbitMq, both: Both, method: spec.Basic.Publish, told: type
) -> None:
    assert type(await both.ours(method, b"x", properties(1))) is told
    if both.channel.is_closed:
        async with aiormq.connect(str(server.url())) as connection:
            again: Any = await connection.channel(on_return_raises=True)
            assert type(await Both(again, both.writer).library(method, b"x", properties(2))) is told
    else:
        assert type(await both.library(method, b"x", properties(2))) is told


async def test_each_of_many_has_its_own_answer(both: Both) -> None:
    """One frame of the broker may answer several, and not those of which it says something else."""
    queue, nobody = (spec.Basic.Publish(routing_key=key, mandatory=True) for key in (QUEUE, "nobody"))
    found = await asyncio.gather(
        *(both.ours(nobody if n % 10 == 3 else queue, b"x", properties(n)) for n in range(50))
    )
    assert [n for n, each in enumerate(found) if isinstance(each, aiormq.exceptions.PublishError)] == [
        *range(3, 50, 10)
    ]
    assert not both.channel.confirmations
    assert not both.channel.message_id_delivery_tag


async def test_what_was_cancelled_or_waits_at_the_end_is_let_go(both: Both) -> None:
    shared = SharedChannel(both.channel, both.writer, spec.Basic.Publish(routing_key=QUEUE, mandatory=True))
    cancelled, waits = (asyncio.get_running_loop().create_future() for _ in range(2))
    shared.publish(b"x", properties(1), cancelled)
    cancelled.cancel()
    shared.publish(b"x", properties(2), waits)
    both.writer.transport.abort()
    async with asyncio.timeout(10):
        with pytest.raises(aiormq.exceptions.AMQPError):
            await waits
    assert shared.is_closed
    assert not both.channel.message_id_delivery_tag
