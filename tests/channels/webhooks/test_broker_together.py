"""Messages that go to a broker together: each has its own answer, also when their time is over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from chaos.link import Link
from chaos.nats_cluster import LOGIN, NatsCluster
from postroom.channels.webhooks.brokers.connections import BrokerConnections
from postroom.channels.webhooks.brokers.kinds import parse_broker_url
from postroom.channels.webhooks.brokers.transport import BrokerMessage
from postroom.channels.webhooks.client import PublicResolver
from postroom.outbox.model import Answer, Delivered, Rejected, Unknown

ABOVE_MAX_PAYLOAD = 2_000_000
TIMEOUT_S = 1.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsCluster]:
    server = NatsCluster(tmp_path, nodes=1)
    server.start(0)
    yield server
    server.stop()


@pytest.fixture
async def link(server: NatsCluster) -> AsyncIterator[Link]:
    await server.make_stream("ORDERS", "orders.>")
    link = Link()
    link.target_port = server.ports[0]
    await link.open()
    yield link
    await link.shut()


@pytest.fixture
async def connections() -> AsyncIterator[BrokerConnections]:
    connections = BrokerConnections(
        resolver=PublicResolver(allow_private=True), private=True, timeout_s=TIMEOUT_S
    )
    yield connections
    await connections.close()


def message(number: int, size_bytes: int = 10) -> BrokerMessage:
    return BrokerMessage(f"id-{number}", "order.paid", None, b"x" * size_bytes, {"n": str(number)}, {})


async def test_what_is_known_when_the_time_is_over_is_kept(
    link: Link, connections: BrokerConnections
) -> None:
    url = parse_broker_url(f"nats://127.0.0.1:{link.port}/orders.eu")

    async def send(*messages: BrokerMessage) -> list[Answer]:
        return [*await connections.send(url, SecretStr(LOGIN), messages)]

    assert all(isinstance(each, Delivered) for each in await send(*map(message, range(10))))
    link.deaf = True
    answers = await send(message(10), message(11, ABOVE_MAX_PAYLOAD), message(12))
    assert [type(each) for each in answers] == [Unknown, Rejected, Unknown]
    link.deaf = False
    assert [type(each) for each in await send(message(10), message(12))] == [Delivered, Delivered]
