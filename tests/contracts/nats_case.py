"""NATS JetStream as the contract of brokers is tried on it: three servers, each stream on all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Self

from chaos.nats_cluster import LOGIN, PAYLOAD_MAX, NatsCluster, nats_cluster
from tests.contracts.broker_case import BrokerCase, Got

STREAM = "ORDERS"


class NatsCase(BrokerCase):
    scheme = "nats"
    login = LOGIN
    good = "/orders.eu"
    bad_urls: ClassVar = (
        "/orders.*", "/orders.>", "/orders eu", "/orders..eu", "/.orders", "/$JS.API.STREAM.DELETE.ORDERS",
        "/", "", "/orders.eu?stream=x", "/" + "a" * 251,
    )  # fmt: skip
    refused: ClassVar = (("/nobody.listens", "no_stream"), ("/secret.orders", "refused"))
    large_bytes = PAYLOAD_MAX
    deaf_from = b"HPUB"
    attribute_prefix = "ce-"

    def __init__(self, cluster: NatsCluster) -> None:
        self._cluster = cluster

    @classmethod
    @contextmanager
    def run(cls, folder: Path) -> Iterator[Self]:
        with nats_cluster(folder) as cluster:
            yield cls(cluster)

    @property
    def ports(self) -> list[int]:
        return self._cluster.ports

    async def prepare(self) -> None:
        await self._cluster.make_stream(STREAM, "orders.>")
        await self._cluster.empty_stream(STREAM)

    async def read(self) -> list[Got]:
        return [
            Got(each.data or b"", {name.lower(): value for name, value in (each.headers or {}).items()})
            for each in await self._cluster.read_stream(STREAM)
        ]

    def kill_first(self) -> None:
        self._cluster.kill(0)

    def restore(self) -> None:
        self._cluster.start(0)
