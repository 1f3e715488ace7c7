"""Connections to brokers over TLS, and what becomes of those that nobody uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiormq
import pytest
import trustme
from pydantic import SecretStr

from chaos import rabbitmq
from chaos.link import Link
from chaos.nats_cluster import LOGIN, NatsCluster
from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.errors import SettingsInvalid
from postroom.base.listener import free_port
from postroom.base.settings import WebhookSettings
from postroom.base.tls import verified_context
from postroom.channels.webhooks.adapter import WebhookAdapter
from postroom.channels.webhooks.brokers.connections import BrokerConnections
from postroom.channels.webhooks.brokers.kinds import parse_broker_url
from postroom.channels.webhooks.brokers.transport import BrokerMessage
from postroom.channels.webhooks.client import PublicResolver
from postroom.outbox.model import Answer, Delivered, RetryLater
from tests.fixtures.redis_server import LOGIN as REDIS_LOGIN
from tests.fixtures.redis_server import RedisServer

SETTING = "POSTROOM_WEBHOOK__BROKERS_CA"
MESSAGE = BrokerMessage(
    id="1", type="order.paid", key=None, body=b"{}", headers={"webhook-id": "1"}, attributes={}
)
Connect = Callable[..., BrokerConnections]


@dataclass(frozen=True, slots=True)
class Authority:
    """A private one, as a file, and a certificate of it for `localhost` alone."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Secure:
    """A broker that speaks TLS. `url`: with the name of its host left open."""

    url: str
    login: str


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder, ca = tmp_path_factory.mktemp("authority"), trustme.CA()
    made = ca.issue_cert("localhost")
    found = Authority(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")
    ca.cert_pem.write_to_path(str(found.ca))
    made.cert_chain_pems[0].write_to_path(str(found.certificate))
    made.private_key_pem.write_to_path(str(found.key))
    return found


@pytest.fixture(
    scope="module",
    params=["nats+tls", "rediss", pytest.param("amqps", marks=pytest.mark.needs("rabbitmqctl"))],
)
def secure(
    request: pytest.FixtureRequest, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secure]:
    folder, port = tmp_path_factory.mktemp("broker"), free_port()
    with ExitStack() as stack:
        match request.param:
            case "nats+tls":
                port = stack.enter_context(_nats(folder, authority))
                yield Secure(f"nats+tls://{{}}:{port}/orders.eu", LOGIN)
            case "rediss":
                server = RedisServer(
                    folder,
                    more=f"tls-port {port}\ntls-cert-file {authority.certificate}\n"
                    f"tls-key-file {authority.key}\ntls-ca-cert-file {authority.ca}\ntls-auth-clients no",
                )
                stack.callback(server.kill)
                server.start()
                yield Secure(f"rediss://{{}}:{port}/orders", REDIS_LOGIN)
            case _:
                more = (
                    f"listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {authority.ca}\n"
                    f"ssl_options.certfile = {authority.certificate}\nssl_options.keyfile = {authority.key}\n"
                )
                running = stack.enter_context(rabbitmq.rabbitmq(folder / "home", more=more))
                asyncio.run(_declare(running.url()))
                yield Secure(f"amqps://{{}}:{port}/?routing-key=orders", ":".join(rabbitmq.LOGIN))


@contextmanager
def _nats(folder: Path, authority: Authority) -> Iterator[int]:
    more = f'tls {{ cert_file: "{authority.certificate}", key_file: "{authority.key}" }}\nallow_non_tls: true'
    cluster = NatsCluster(folder, nodes=1, more=more)
    try:
        cluster.start(0)
        asyncio.run(cluster.make_stream("ORDERS", "orders.>"))
        yield cluster.ports[0]
    finally:
        cluster.stop()


async def _declare(url: str) -> None:
    async with aiormq.connect(url) as connection:
        await (await connection.channel()).queue_declare("orders", durable=True)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    opened: list[BrokerConnections] = []

    def open_one(**more: Any) -> BrokerConnections:
        connections = BrokerConnections(
            resolver=PublicResolver(allow_private=True), private=True, timeout_s=20, **more
        )
        opened.append(connections)
        return connections

    yield open_one
    for each in opened:
        await each.close()


async def send(connections: BrokerConnections, to: Secure, host: str = "localhost") -> Answer:
    [answer] = await connections.send(parse_broker_url(to.url.format(host)), SecretStr(to.login), [MESSAGE])
    return answer


async def test_a_broker_of_a_private_authority_gets_messages_over_tls(
    secure: Secure, authority: Authority, connect: Connect
) -> None:
    answer = await send(connect(tls=verified_context(authority.ca, setting=SETTING)), secure)
    assert isinstance(answer, Delivered), answer


async def test_a_certificate_of_an_unknown_authority_is_refused_and_named(
    secure: Secure, connect: Connect
) -> None:
    answer = await send(connect(), secure)
    assert isinstance(answer, RetryLater), answer
    assert answer.code == "tls"
    assert "the certificate is not trusted: " in answer.reason


async def test_a_certificate_for_another_host_is_refused_and_named(
    secure: Secure, authority: Authority, connect: Connect
) -> None:
    answer = await send(connect(tls=verified_context(authority.ca, setting=SETTING)), secure, "127.0.0.1")
    assert isinstance(answer, RetryLater), answer
    assert answer.code == "tls"
    assert "not valid for '127.0.0.1'" in answer.reason


async def test_a_file_without_authorities_is_refused_at_start(pool: Pool, tmp_path: Path) -> None:
    settings = WebhookSettings(brokers_ca=tmp_path / "missing.pem")
    adapter = WebhookAdapter(pool=pool, clock=SystemClock(), settings=settings)
    with pytest.raises(SettingsInvalid, match=SETTING):
        await adapter.start()
    await adapter.close()


async def test_a_connection_that_nobody_uses_is_closed_and_one_in_use_is_not(
    connect: Connect, tmp_path: Path
) -> None:
    server, link = RedisServer(tmp_path), Link()
    server.start()
    try:
        link.target_port = server.port
        await link.open()
        connections = connect(idle_s=0.2)
        to = Secure(f"redis://{{}}:{link.port}/orders", REDIS_LOGIN)
        link.deaf_from = b"XADD"
        waiting = asyncio.create_task(send(connections, to, "127.0.0.1"))
        await _until(lambda: link.deaf)
        await asyncio.sleep(0.5)  # longer than it may be idle: the case to try
        assert link.connections == 1
        link.deaf_from, link.deaf = None, False
        link.cut()
        assert not isinstance(await waiting, Delivered)
        assert isinstance(await send(connections, to, "127.0.0.1"), Delivered)
        assert link.connections == 1
        await _until(lambda: link.connections == 0)
        assert isinstance(await send(connections, to, "127.0.0.1"), Delivered)
    finally:
        await link.shut()
        server.kill()


async def _until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not met():
            await asyncio.sleep(0.02)
