"""One behavioural suite that every kind of broker passes, on a real one."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from uuid import NAMESPACE_OID, UUID, uuid5

import pytest
from pydantic import SecretStr

from chaos.link import Link
from postroom.base.errors import InvalidPayload
from postroom.channels.webhooks.brokers.connections import BrokerConnections
from postroom.channels.webhooks.brokers.kinds import parse_allowed, parse_broker_url
from postroom.channels.webhooks.brokers.message import FORMATS, build_message
from postroom.channels.webhooks.brokers.transport import BrokerMessage
from postroom.channels.webhooks.client import PublicResolver
from postroom.channels.webhooks.payload import DATA_BYTES_MAX
from postroom.outbox.model import Answer, Delivered, Rejected, RetryLater, Trip, Unknown
from tests.contracts.broker_case import BrokerCase
from tests.contracts.kafka_case import KafkaCase
from tests.contracts.nats_case import NatsCase
from tests.contracts.rabbitmq_case import RabbitMqCase
from tests.contracts.redis_case import RedisCase
from tests.contracts.sqs_case import SqsCase
from tests.factories.claims import make_claim

CASES = (
    pytest.param(NatsCase, id="nats"),
    pytest.param(RedisCase, id="redis"),
    pytest.param(KafkaCase, id="kafka"),
    pytest.param(RabbitMqCase, id="rabbitmq", marks=pytest.mark.needs("rabbitmqctl")),
    pytest.param(SqsCase, id="sqs"),
)
SHORT_S = 1.5
READY_S = 30.0


@pytest.fixture(scope="module", params=CASES)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCase]:
    with request.param.run(tmp_path_factory.mktemp(request.param.scheme)) as case:
        yield case


@pytest.fixture
async def case(running: BrokerCase) -> BrokerCase:
    await running.prepare()
    return running


class Sender:
    """One process's connections, with a time limit that tests can wait for."""

    def __init__(self) -> None:
        self.connections = BrokerConnections(
            resolver=PublicResolver(allow_private=True), private=True, timeout_s=SHORT_S
        )

    async def send(
        self, case: BrokerCase, message: BrokerMessage, *, url: str | None = None, login: str | None = None
    ) -> Answer:
        [answer] = await self.send_together(case, [message], url=url, login=login)
        return answer

    async def send_together(
        self,
        case: BrokerCase,
        messages: Sequence[BrokerMessage],
        *,
        url: str | None = None,
        login: str | None = None,
    ) -> Sequence[Answer]:
        secret = SecretStr(case.login if login is None else login)
        return await self.connections.send(parse_broker_url(url or case.url()), secret, messages)

    async def send_until_delivered(self, case: BrokerCase, message: BrokerMessage, url: str) -> list[Answer]:
        answers: list[Answer] = []
        async with asyncio.timeout(READY_S):
            while not answers or not isinstance(answers[-1], Delivered):
                answers.append(await self.send(case, message, url=url))
        return answers


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    sender = Sender()
    yield sender
    await sender.connections.close()


def id_of(number: int) -> UUID:
    """Another one in each test: a broker may remember those of the test before."""
    return uuid5(NAMESPACE_OID, f"{os.environ['PYTEST_CURRENT_TEST'].partition(' ')[0]} {number}")


def message(
    number: int = 1, *, size_bytes: int = 0, format_: str = "envelope", key: str = "k"
) -> BrokerMessage:
    claim = make_claim(
        message_id=id_of(number),
        type="order.paid",
        tenant="acme",
        ordering_key=f"-17:{key}",
        channel="webhook",
    )
    data = json.dumps({"number": number, "fill": "x" * size_bytes}, separators=(",", ":")).encode()
    envelope = b'{"type":"order.paid","timestamp":"2026-01-01T00:00:00.000000Z","data":' + data + b"}"
    return build_message(claim, format_=format_, envelope=envelope, data=data)


async def test_what_is_acknowledged_is_there_with_its_id_and_key(case: BrokerCase, sender: Sender) -> None:
    answers = await asyncio.gather(*(sender.send(case, message(number)) for number in range(1, 11)))
    answers += await sender.send_together(case, [message(number) for number in range(11, 21)])
    assert all(isinstance(answer, Delivered) for answer in answers), answers
    got = await case.read()
    assert {each.headers["webhook-id"] for each in got} == {str(id_of(number)) for number in range(1, 21)}
    assert len(got) == 20 or case.keeps_repeats
    assert got[0].headers["postroom-ordering-key"] == "k"
    assert json.loads(got[0].body)["type"] == "order.paid"


@pytest.mark.parametrize("format_", FORMATS)
async def test_each_format_is_read_back(case: BrokerCase, sender: Sender, format_: str) -> None:
    sent = message(7, format_=format_)
    assert isinstance(await sender.send(case, sent), Delivered)
    [got] = await case.read()
    assert got.body == sent.body
    assert got.headers["content-type"] == sent.headers["content-type"]
    if format_ == "cloudevents":
        assert json.loads(got.body)["id"] == str(id_of(7))
        assert json.loads(got.body)["source"] == "postroom/acme"
    if format_ == "cloudevents-binary":
        assert json.loads(got.body)["number"] == 7
        assert got.headers[f"{case.attribute_prefix}id"] == str(id_of(7))
        assert got.headers[f"{case.attribute_prefix}partitionkey"] == "k"


async def test_a_place_that_the_broker_refuses_is_tried_again_later(case: BrokerCase, sender: Sender) -> None:
    for place, code in case.refused:
        url = case.url(place=place)
        for answer in await sender.send_together(case, [message(1), message(2), message(3)], url=url):
            assert isinstance(answer, RetryLater), answer
            assert answer.code == code
            assert answer.trip is Trip.NO
    assert isinstance(await sender.send(case, message()), Delivered)


async def test_what_is_too_large_is_dead_and_stops_nothing(case: BrokerCase, sender: Sender) -> None:
    if case.large_bytes is None:
        assert isinstance(await sender.send(case, message(size_bytes=DATA_BYTES_MAX)), Delivered)
        return
    large = message(3, size_bytes=case.large_bytes)
    first, second, answer, *others = await sender.send_together(
        case, [message(1), message(2), large, message(4), message(5)]
    )
    others += [first, second]
    assert isinstance(answer, Rejected), answer
    assert answer.code == "too_large"
    assert all(isinstance(each, Delivered) for each in others), others


async def test_a_refused_login_says_so_without_the_login(case: BrokerCase, sender: Sender) -> None:
    answer = await sender.send(case, message(), login="app:wrong-example")
    assert isinstance(answer, RetryLater), answer
    assert answer.code == "login_refused"
    assert "wrong-example" not in repr(answer)


async def test_a_broker_that_never_acknowledges_is_left_in_time_and_has_one_id(
    case: BrokerCase, sender: Sender
) -> None:
    link = Link()
    link.target_port = case.ports[0]
    link.deaf_from = case.deaf_from
    await link.open()
    case.stand_behind(link.port)
    url = case.url(link.port, case.ports[0])
    try:
        begun = time.monotonic()
        answers = await sender.send_together(case, [message(8), message(9)], url=url)
        assert all(isinstance(answer, Unknown) for answer in answers), answers
        assert time.monotonic() - begun < SHORT_S + 1
        case.stand_behind(None)
        for number in (8, 9):  # on a new connection to the next node
            again = await sender.send_until_delivered(case, message(number), url)
            assert isinstance(again[-1], Delivered)
    finally:
        await link.shut()
    got = {each.headers["webhook-id"] for each in await case.read()}
    assert got == {str(id_of(number)) for number in (8, 9)}


async def test_a_connection_that_is_cut_is_opened_again(case: BrokerCase, sender: Sender) -> None:
    link = Link()
    link.target_port = case.ports[0]
    await link.open()
    try:
        assert isinstance(await sender.send(case, message(1), url=case.url(link.port)), Delivered)
        link.cut()
        answers = await sender.send_until_delivered(case, message(2), case.url(link.port))
        assert len(answers) <= 2, answers
    finally:
        await link.shut()


async def test_it_comes_back_on_another_node(case: BrokerCase, sender: Sender) -> None:
    url = case.url(*case.ports)
    assert isinstance(await sender.send(case, message(1), url=url), Delivered)
    case.kill_first()
    try:
        await sender.send_until_delivered(case, message(2), url)
        assert str(id_of(2)) in {each.headers["webhook-id"] for each in await case.read()}
    finally:
        case.restore()


async def test_a_broker_with_a_full_disk_is_left_in_time_and_gets_all_when_there_is_room(
    case: BrokerCase, sender: Sender
) -> None:
    if not case.can_fill:
        pytest.skip("it has no disk of its own here")
    case.fill()
    try:
        begun = time.monotonic()
        answers = await asyncio.gather(*(sender.send(case, message(number)) for number in range(1, 6)))
        assert not any(isinstance(answer, Delivered) for answer in answers), answers
        assert time.monotonic() - begun < SHORT_S + 1
    finally:
        case.empty()
    for number in range(1, 6):
        await sender.send_until_delivered(case, message(number), case.url())
    got = [each.headers["webhook-id"] for each in await case.read()]
    assert set(got) == {str(id_of(number)) for number in range(1, 6)}


async def test_a_broker_that_is_not_there_is_a_failure_that_may_pass(
    case: BrokerCase, sender: Sender
) -> None:
    link = Link()
    await link.open()
    await link.shut()
    answer = await sender.send(case, message(), url=case.url(link.port))
    assert isinstance(answer, RetryLater), answer
    assert answer.code == "refused"


async def test_urls_that_could_never_work_are_refused(case: BrokerCase) -> None:
    allowed = {f"{case.scheme}://127.0.0.1:{case.ports[0]}": ["*"]}
    for place in case.bad_urls:
        with pytest.raises(InvalidPayload, match="url"):
            parse_allowed(case.url(place=place), tenant="acme", allowed=allowed, private=True)


async def test_only_a_tenant_that_is_allowed_may_name_it_and_no_private_address(case: BrokerCase) -> None:
    allowed = {f"{case.scheme}://127.0.0.1:{case.ports[0]}": ["acme"]}
    parse_allowed(case.url(), tenant="acme", allowed=allowed, private=True)
    for tenant, listed, private in (("eve", allowed, True), ("acme", {}, True), ("acme", allowed, False)):
        with pytest.raises(InvalidPayload):
            parse_allowed(case.url(), tenant=tenant, allowed=listed, private=private)
    login = case.url().replace("://", "://ann:example@")
    with pytest.raises(InvalidPayload, match="user name"):
        parse_allowed(login, tenant="acme", allowed=allowed, private=True)
    with pytest.raises(InvalidPayload):  # one node that is allowed opens no other one
        parse_allowed(case.url(case.ports[0], 1), tenant="acme", allowed=allowed, private=True)
