"""What the contract's SQS, which is at a literal address, does not see."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from postroom.channels.webhooks.brokers.kinds import parse_broker_url
from postroom.channels.webhooks.brokers.login import Login
from postroom.channels.webhooks.brokers.sqs import PlainSqsTransport
from postroom.channels.webhooks.brokers.transport import BrokerMessage, Node, OpenFailed
from postroom.outbox.model import Delivered
from tests.fixtures.sqs import ACCOUNT, REGION, SqsStandIn, sqs_stand_in

QUEUE = "orders"
HOST = "sqs.nowhere.test"


@pytest.fixture(scope="module")
def stand_in() -> Iterator[SqsStandIn]:
    with sqs_stand_in() as stand_in:
        stand_in.client().create_queue(QueueName=QUEUE)
        yield stand_in


def transport_to(stand_in: SqsStandIn, login: Login | None) -> tuple[PlainSqsTransport, Node]:
    url = parse_broker_url(f"sqs+http://{HOST}:{stand_in.port}/{ACCOUNT}/{QUEUE}?region={REGION}")
    return PlainSqsTransport(url, login), Node(HOST, "127.0.0.1", stand_in.port, None)


async def test_a_name_is_dialled_at_the_address_that_was_checked(stand_in: SqsStandIn) -> None:
    key, secret = stand_in.login.split(":")
    transport, node = transport_to(stand_in, Login(key, SecretStr(secret)))
    try:
        async with asyncio.timeout(20):
            await transport.open(node)
            answer = await (
                await transport.begin(
                    BrokerMessage("id", "order.paid", None, b"{}", {"webhook-id": "id"}, {})
                )
            )
        assert isinstance(answer, Delivered), answer
    finally:
        await transport.close()


async def test_without_a_key_the_machines_own_is_not_used(
    stand_in: SqsStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = stand_in.login.split(":")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    transport, node = transport_to(stand_in, None)
    with pytest.raises(OpenFailed) as refused:
        await transport.open(node)
    assert refused.value.code == "login_missing"
