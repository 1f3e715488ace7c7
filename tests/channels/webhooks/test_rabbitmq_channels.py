"""Messages that share a channel of RabbitMQ: what becomes of one says nothing of another."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import aiormq
import pytest
from pydantic import SecretStr

from chaos.link import Link
from chaos.rabbitmq import LOGIN, SIZE_MAX, RabbitMq, rabbitmq
from postroom.channels.webhooks.brokers import rabbitmq as transport
from postroom.channels.webhooks.brokers.connections import BrokerConnections
from postroom.channels.webhooks.brokers.kinds import parse_broker_url
from postroom.channels.webhooks.brokers.transport import BrokerMessage
from postroom.channels.webhooks.client import PublicResolver
from postroom.outbox.model import Delivered, RetryLater, Unknown

FRAME_MAX = 4_096
"""Whoever sends a larger one loses the connection."""
QUEUE = "orders"
SECRET = SecretStr(":".join(LOGIN))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    async def declare(url: str) -> None:
        async with aiormq.connect(url) as connection:
            await (await connection.channel()).queue_declare(QUEUE, durable=True)

    with rabbitmq(tmp_path_factory.mktemp("rabbitmq"), more=f"frame_max = {FRAME_MAX}\n") as server:
        asyncio.run(declare(str(server.url())))
        yield server


@pytest.fixture
async def connections() -> AsyncIterator[BrokerConnections]:
    connections = BrokerConnections(resolver=PublicResolver(allow_private=True), private=True, timeout_s=20)
    yield connections
    await connections.close()


def message(number: int, size_bytes: int = 10) -> BrokerMessage:
    return BrokerMessage(f"id-{number}", "order.paid", None, b"x" * size_bytes, {"n": str(number)}, {})


async def test_one_id_that_comes_back_twice_is_delivered_neither_time(
    server: RabbitMq, connections: BrokerConnections
) -> None:
    """Two endpoints of one queue get one message: by its id the library knows what has come back."""
    url = parse_broker_url(f"amqp://127.0.0.1:{server.ports[0]}/?routing-key=nobody")
    answers = await connections.send(url, SECRET, [message(1), message(1), message(2)])
    assert [type(each) for each in answers] == [RetryLater] * 3, answers


async def test_one_that_ends_the_channel_kills_none_beside_it(
    server: RabbitMq, connections: BrokerConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes less than what may share a channel: nobody knows which one it was."""
    monkeypatch.setattr(transport, "_SHARED_BYTES_MAX", 2 * SIZE_MAX)
    url = parse_broker_url(f"amqp://127.0.0.1:{server.ports[0]}/?routing-key={QUEUE}")
    answers = await connections.send(url, SECRET, [message(1), message(2, SIZE_MAX + 1), message(3)])
    assert all(isinstance(each, Delivered | Unknown) for each in answers), answers
    assert isinstance(answers[1], Unknown)
    again = await connections.send(url, SECRET, [message(1), message(3)])
    assert all(isinstance(each, Delivered) for each in again), again


async def test_what_waits_when_the_connection_ends_is_not_waited_for(
    server: RabbitMq, connections: BrokerConnections
) -> None:
    """It may be stored or not; nothing says more about it, so its time limit is not used up."""
    link = Link()
    link.target_port = server.ports[0]
    await link.open()
    url = parse_broker_url(f"amqp://127.0.0.1:{link.port}/?routing-key={QUEUE}")
    assert isinstance((await connections.send(url, SECRET, [message(1)]))[0], Delivered)
    link.deaf = True
    waiting = asyncio.create_task(connections.send(url, SECRET, [*map(message, range(2, 12))]))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await link.shut()
    async with asyncio.timeout(5):
        assert {type(each) for each in await waiting} == {Unknown}


async def test_bodies_of_every_number_of_frames_arrive_whole(
    server: RabbitMq, connections: BrokerConnections
) -> None:
    """What shares a channel may be larger than a frame."""
    queue, room = "frames", FRAME_MAX - 8
    sizes = [0, 1, room - 1, room, room + 1, 2 * room, 16_384]
    async with aiormq.connect(server.url()) as connection:
        channel = await connection.channel()
        await channel.queue_declare(queue, durable=True)
        url = parse_broker_url(f"amqp://127.0.0.1:{server.ports[0]}/?routing-key={queue}")
        answers = await connections.send(url, SECRET, [message(n, size) for n, size in enumerate(sizes)])
        assert all(isinstance(each, Delivered) for each in answers), answers
        found = [await channel.basic_get(queue, no_ack=True) for _ in sizes]
    assert Counter(each.body for each in found) == Counter(b"x" * size for size in sizes)
    assert [each.header.properties.message_id for each in found] == [f"id-{n}" for n in range(len(sizes))]
