"""What only Kafka has, on librdkafka's mock cluster. The rest is in `tests/contracts/test_brokers.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError

from postroom.channels.webhooks.brokers.kafka import KafkaTransport
from postroom.channels.webhooks.brokers.kinds import parse_broker_url
from postroom.channels.webhooks.brokers.transport import BrokerMessage, Node
from postroom.outbox.model import Delivered, Outcome, Rejected, RetryLater, Trip, Unknown
from tests.fixtures.kafka_mock import INIT_PRODUCER_ID, KafkaMock, kafka_mock

TOPIC = "orders"
LIMIT_S = 20.0


@pytest.fixture
def cluster() -> Iterator[KafkaMock]:
    with kafka_mock() as cluster:
        cluster.make_topic(TOPIC)
        yield cluster


@asynccontextmanager
async def opened(cluster: KafkaMock) -> AsyncIterator[KafkaTransport]:
    port = cluster.ports[0]
    transport = KafkaTransport(parse_broker_url(f"kafka://127.0.0.1:{port}/{TOPIC}"), None)
    try:
        async with asyncio.timeout(LIMIT_S):
            await transport.open(Node("127.0.0.1", "127.0.0.1", port, None))
        yield transport
    finally:
        await transport.close()


@pytest.fixture
async def transport(cluster: KafkaMock) -> AsyncIterator[KafkaTransport]:
    async with opened(cluster) as transport:
        yield transport


def message(body: bytes = b"{}", key: str | None = "k") -> BrokerMessage:
    id_ = str(uuid4())
    return BrokerMessage(id_, "order.paid", key, body, {"webhook-id": id_}, {})


async def send(transport: KafkaTransport, message: BrokerMessage) -> Outcome:
    return await (await transport.begin(message))


async def test_what_the_broker_finds_too_large_is_dead_and_the_next_one_is_stored(
    cluster: KafkaMock, transport: KafkaTransport
) -> None:
    cluster.refuse(KafkaError.MSG_SIZE_TOO_LARGE)
    async with asyncio.timeout(LIMIT_S):
        answer = await send(transport, message())
        assert isinstance(answer, Rejected), answer
        assert answer.code == "too_large"
        assert isinstance(await send(transport, message()), Delivered)
    assert len(cluster.read(TOPIC)) == 1


async def test_the_producer_is_idempotent_and_ends_when_it_may_not_be(cluster: KafkaMock) -> None:
    """The mock drops nothing that is repeated, so this only sees that the producer asks to be idempotent."""
    cluster.refuse(KafkaError.CLUSTER_AUTHORIZATION_FAILED, request=INIT_PRODUCER_ID)
    async with opened(cluster) as transport, asyncio.timeout(LIMIT_S):
        answer = await send(transport, message())
        assert isinstance(answer, Unknown | RetryLater), answer
        while transport.is_open:  # told in a thread
            await asyncio.sleep(0)


async def test_what_may_pass_is_repeated_by_the_library(
    cluster: KafkaMock, transport: KafkaTransport
) -> None:
    cluster.refuse(KafkaError.REQUEST_TIMED_OUT, KafkaError.NOT_LEADER_FOR_PARTITION)
    async with asyncio.timeout(LIMIT_S):
        assert isinstance(await send(transport, message(b"1")), Delivered)
    [got] = cluster.read(TOPIC)
    assert (got.value(), got.key()) == (b"1", b"k")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "topic_authorization_failed"),
        (KafkaError.INVALID_RECORD, "invalid_record"),
    ],
)
async def test_what_somebody_can_mend_is_retried_and_says_nothing_of_the_cluster(
    cluster: KafkaMock, transport: KafkaTransport, error: int, code: str
) -> None:
    cluster.refuse(error)
    async with asyncio.timeout(LIMIT_S):
        answer = await send(transport, message())
    assert isinstance(answer, RetryLater), answer
    assert (answer.code, answer.trip) == (code, Trip.NO)


async def test_a_right_that_was_given_meanwhile_is_noticed(
    cluster: KafkaMock, transport: KafkaTransport
) -> None:
    """The library remembers the refusal of a topic until it asks for the topic again."""
    cluster.refuse(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    async with asyncio.timeout(LIMIT_S):
        answers = [await send(transport, message())]
        while not isinstance(answers[-1], Delivered):
            answers.append(await send(transport, message()))
            await asyncio.sleep(0)
    assert all(isinstance(each, RetryLater) for each in answers[:-1])
