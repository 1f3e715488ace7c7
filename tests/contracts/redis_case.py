"""Redis streams under the contract of brokers: two servers, the second for when the first ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from redis.asyncio import Redis

from tests.contracts.broker_case import BrokerCase, Got
from tests.fixtures.redis_server import LOGIN, PASSWORD, RedisServer

STREAM = "orders:eu"


class RedisCase(BrokerCase):
    scheme = "redis"
    login = LOGIN
    good = f"/{STREAM}"
    bad_urls: ClassVar = (
        "/orders eu", "/orders*", "/orders/eu", "/", "", f"/{STREAM}?db=x", f"/{STREAM}?maxlen=0",
        f"/{STREAM}?replicas=-1", f"/{STREAM}?unknown=1", "/" + "a" * 251,
    )  # fmt: skip
    refused: ClassVar = (("/private", "refused"), ("/orders:text", "WRONGTYPE"))
    large_bytes = None
    deaf_from = b"XADD"
    attribute_prefix = "ce-"

    def __init__(self, servers: list[RedisServer]) -> None:
        self._servers = servers

    @classmethod
    @contextmanager
    def run(cls, folder: Path) -> Iterator[Self]:
        servers = [RedisServer(folder / name) for name in ("first", "second")]
        try:
            for server in servers:
                server.start()
            yield cls(servers)
        finally:
            for server in servers:
                server.kill()

    @property
    def ports(self) -> list[int]:
        return [server.port for server in self._servers]

    async def prepare(self) -> None:
        for server in self._servers:
            async with self._client(server) as client:
                await client.flushall()
                await client.set("orders:text", "no stream")

    async def read(self) -> list[Got]:
        found: list[Got] = []
        for server in self._servers:
            if server.is_running:
                async with self._client(server) as client:
                    entries: list[Any] = await client.xrange(STREAM) or []
                    found += [_got(fields) for _, fields in entries]
        return found

    def kill_first(self) -> None:
        self._servers[0].kill()

    def restore(self) -> None:
        self._servers[0].start()

    def _client(self, server: RedisServer) -> Redis:
        return Redis(port=server.port, password=PASSWORD)


def _got(fields: dict[bytes, bytes]) -> Got:
    body = fields.pop(b"body")
    return Got(body, {name.decode(): value.decode() for name, value in fields.items()})
