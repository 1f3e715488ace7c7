"""Redis streams: a node that leads no more, replicas that are asked for, a memory that is full, a length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from postroom.channels.webhooks.brokers.connections import BrokerConnections
from postroom.channels.webhooks.brokers.kinds import parse_broker_url
from postroom.channels.webhooks.brokers.message import build_message
from postroom.channels.webhooks.client import PublicResolver
from postroom.outbox.model import Answer, Delivered, RetryLater, Unknown
from tests.factories.claims import make_claim
from tests.fixtures.redis_server import LOGIN, PASSWORD, RedisServer

Pair = tuple[RedisServer, RedisServer]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("redis")
    servers = RedisServer(folder / "one"), RedisServer(folder / "two")
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture
async def connections() -> AsyncIterator[BrokerConnections]:
    made = BrokerConnections(resolver=PublicResolver(allow_private=True), private=True, timeout_s=5)
    yield made
    await made.close()


def client(server: RedisServer) -> Redis:
    return Redis(port=server.port, password=PASSWORD)


async def send(connections: BrokerConnections, url: str, number: int = 1) -> Answer:
    claim = make_claim(message_id=UUID(int=number), channel="webhook", type="a")
    message = build_message(claim, format_="envelope", envelope=b"{}", data=b"1")
    [answer] = await connections.send(parse_broker_url(url), SecretStr(LOGIN), [message])
    return answer


async def test_a_node_that_leads_no_more_is_left_for_the_next(
    pair: Pair, connections: BrokerConnections
) -> None:
    url = f"redis://127.0.0.1:{pair[0].port},127.0.0.1:{pair[1].port}/orders"
    assert isinstance(await send(connections, url), Delivered)
    async with client(pair[0]) as old:
        await old.replicaof("127.0.0.1", str(pair[1].port))
        try:
            answer = await send(connections, url)
            assert isinstance(answer, RetryLater), answer
            assert answer.code == "READONLY"
            assert isinstance(await send(connections, url), Delivered)
        finally:
            await old.replicaof("NO", "ONE")


async def test_what_too_few_replicas_have_acknowledged_is_not_known_to_be_there(
    pair: Pair, connections: BrokerConnections
) -> None:
    answer = await send(connections, f"redis://127.0.0.1:{pair[1].port}/orders?replicas=1")
    assert isinstance(answer, Unknown), answer
    assert answer.code == "replicas"


async def test_a_full_memory_is_a_failure_that_may_pass(pair: Pair, connections: BrokerConnections) -> None:
    url = f"redis://127.0.0.1:{pair[1].port}/orders"
    async with client(pair[1]) as server:
        await server.config_set("maxmemory", "1")
        try:
            answer = await send(connections, url)
            assert isinstance(answer, RetryLater), answer
            assert answer.code == "full"
        finally:
            await server.config_set("maxmemory", "0")
        assert isinstance(await send(connections, url), Delivered)


async def test_a_stream_is_kept_about_as_long_as_its_url_says(
    pair: Pair, connections: BrokerConnections
) -> None:
    url = f"redis://127.0.0.1:{pair[1].port}/orders:short?maxlen=10"
    answers = await asyncio.gather(*(send(connections, url, number) for number in range(1, 301)))
    assert all(isinstance(answer, Delivered) for answer in answers)
    async with client(pair[1]) as server:
        assert 10 <= await server.xlen("orders:short") < 200
