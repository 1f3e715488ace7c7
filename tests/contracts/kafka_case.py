"""Kafka as the contract of brokers is tried on it: librdkafka's mock cluster, which speaks its protocol.

It is no Kafka: it has no disk, no size limit and no logins, so that every login is refused, and it keeps
what an idempotent producer repeats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from confluent_kafka import KafkaError, Message

from tests.contracts.broker_case import BrokerCase, Got
from tests.fixtures.kafka_mock import KafkaMock, kafka_mock

TOPIC = "orders"


class KafkaCase(BrokerCase):
    scheme = "kafka"
    login = ""
    good = f"/{TOPIC}"
    bad_urls: ClassVar = (
        "/orders.*", "/orders eu", "/or/ders", "/", "", "/..", "/" + "a" * 250,
        "/orders?mechanism=gssapi", "/orders?acks=0",
    )  # fmt: skip
    refused: ClassVar = (("/secret", "topic_authorization_failed"),)
    large_bytes = None
    deaf_from = b"webhook-id"
    attribute_prefix = "ce_"
    keeps_repeats = True

    def __init__(self, cluster: KafkaMock) -> None:
        self._cluster = cluster
        self._ports = cluster.ports
        self._start = 0
        cluster.make_topic(TOPIC)
        cluster.lead(TOPIC, 1)
        cluster.refuse_topic("secret", KafkaError.TOPIC_AUTHORIZATION_FAILED)

    @classmethod
    @contextmanager
    def run(cls, folder: Path) -> Iterator[Self]:
        with kafka_mock() as cluster:
            yield cls(cluster)

    @property
    def ports(self) -> list[int]:
        return self._ports

    async def prepare(self) -> None:
        """It has no way to empty a topic, so a test reads what came since its begin."""
        self._start = await asyncio.to_thread(self._cluster.end, TOPIC)

    async def read(self) -> list[Got]:
        return [
            Got(each.value() or b"", _texts(each))
            for each in await asyncio.to_thread(self._cluster.read, TOPIC, self._start)
        ]

    def stand_behind(self, port: int | None) -> None:
        self._cluster.advertise(1, port or self._ports[0])

    def kill_first(self) -> None:
        self._cluster.stop(1)
        self._cluster.lead(TOPIC, 2)

    def restore(self) -> None:
        self._cluster.go_on(1)
        self._cluster.lead(TOPIC, 1)


def _texts(message: Message) -> dict[str, str]:
    headers: Any = message.headers()
    return {name: value.decode() for name, value in headers}
