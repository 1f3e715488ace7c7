"""RabbitMQ as the contract of brokers is tried on it: one node with a quorum queue.

A cluster of three takes 25 s of two processors to start, so only chaos has one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Self

import aiormq

from chaos.rabbitmq import LOGIN, SIZE_MAX, RabbitMq, rabbitmq
from tests.contracts.broker_case import BrokerCase, Got

QUEUE = "orders"
EXCHANGE = "shop"


class RabbitMqCase(BrokerCase):
    scheme = "amqp"
    login = ":".join(LOGIN)
    good = f"/{EXCHANGE}?routing-key=orders.eu"
    bad_urls: ClassVar = (
        "/shop.*", "/shop.#", "/a shop", "/shop?routing-key=orders.*", "/shop?routing-key=or%20ders",
        "/shop?queue=x", "/", "", "/shop/orders", "/" + "a" * 128,
    )  # fmt: skip
    refused: ClassVar = (
        ("/nobody", "no_exchange"),
        (f"/{EXCHANGE}?routing-key=nobody.listens", "unroutable"),
        ("/?routing-key=nobody", "unroutable"),
    )
    large_bytes = SIZE_MAX
    deaf_from = b"webhook-id"
    attribute_prefix = "cloudevents:"
    can_fill = True

    def __init__(self, server: RabbitMq) -> None:
        self._server = server

    @classmethod
    @contextmanager
    def run(cls, folder: Path) -> Iterator[Self]:
        with rabbitmq(folder) as server:
            case = cls(server)
            asyncio.run(case.declare())
            yield case

    @property
    def ports(self) -> list[int]:
        return [self._server.ports[0], self._server.next_port]

    async def prepare(self) -> None:
        async with aiormq.connect(self._server.url()) as connection:
            await (await connection.channel()).queue_purge(QUEUE)

    async def declare(self) -> None:
        async with aiormq.connect(self._server.url()) as connection:
            channel = await connection.channel()
            await channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
            await channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
            await channel.queue_bind(QUEUE, EXCHANGE, "orders.*")

    async def read(self) -> list[Got]:
        found = []
        async with aiormq.connect(self._server.url()) as connection:
            channel = await connection.channel()
            while (message := await channel.basic_get(QUEUE, no_ack=True)).delivery_tag is not None:
                properties = message.header.properties
                headers = {str(name).lower(): str(each) for name, each in (properties.headers or {}).items()}
                assert headers["webhook-id"] == properties.message_id
                assert properties.content_type == headers["content-type"]
                found.append(Got(message.body, headers))
        return found

    def fill(self) -> None:
        """RabbitMQ then reads nothing more from whoever publishes, and answers nothing."""
        self._server.control("set_disk_free_limit", str(10**15))

    def empty(self) -> None:
        self._server.control("set_disk_free_limit", str(10**6))

    def kill_first(self) -> None:
        self._server.write_tables()  # a quorum queue of the last seconds would be forgotten
        self._server.kill(0)
        self._server.move()
        self._server.start()

    def restore(self) -> None:
        """It is back already, at another port."""
