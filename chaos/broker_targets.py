"""The brokers that chaos delivers to: what is done to each, and what a consumer finds there in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote

import aiormq

from chaos import nats_cluster, rabbitmq

NODES: Final = 3
READY_S: Final = 60.0
POLL_S: Final = 0.5
STREAM: Final = "ORDERS"
QUEUE: Final = "orders"


@dataclass(frozen=True, slots=True)
class Read:
    """One message as a consumer has it."""

    id: str
    key: str


class Target(Protocol):
    """A cluster of three. `place`: what follows the nodes in a url. `done`, `full`: how attempts end when it
    has stored the message, and while it has no room. `repeats`: whether it stores again what was sent again;
    then its consumers deduplicate.
    """

    scheme: str
    place: str
    login: str
    done: str
    full: str
    repeats: bool

    @property
    def ports(self) -> list[int]: ...

    async def prepare(self) -> None: ...

    async def kill_leader(self) -> int: ...

    async def restart(self, node: int) -> None: ...

    async def fill(self) -> None: ...

    async def empty(self) -> None: ...

    async def read(self) -> list[Read]:
        """All that is there, in its order."""
        ...


class Nats:
    """JetStream, a stream on each node. Within its window a message that comes again is stored once."""

    scheme = "nats"
    place = "/orders.eu"
    login = nats_cluster.LOGIN
    done = "delivered/stored"
    full = "retry/10077"
    """JetStream's own number for a stream that may hold no more bytes."""
    repeats = False

    def __init__(self, cluster: nats_cluster.NatsCluster) -> None:
        self._cluster = cluster

    @property
    def ports(self) -> list[int]:
        return self._cluster.ports

    async def prepare(self) -> None:
        await self._cluster.make_stream(STREAM, "orders.>")

    async def kill_leader(self) -> int:
        leader = await self._cluster.leader(STREAM)
        await asyncio.to_thread(self._cluster.kill, leader)
        return leader

    async def restart(self, node: int) -> None:
        self._cluster.start(node)

    async def fill(self) -> None:
        await self._cluster.limit_stream(STREAM, max_bytes=1)

    async def empty(self) -> None:
        await self._cluster.limit_stream(STREAM, max_bytes=-1)

    async def read(self) -> list[Read]:
        found = [each.headers or {} for each in await self._cluster.read_stream(STREAM)]
        return [Read(each["webhook-id"], unquote(each["postroom-ordering-key"])) for each in found]


class Rabbit:
    """A quorum queue on each node. It looks at no id, so that what was sent again is there again."""

    scheme = "amqp"
    place = f"/?routing-key={QUEUE}"
    login = ":".join(rabbitmq.LOGIN)
    done = "delivered/confirmed"
    full = "unknown/timeout"
    """With too little disk it reads nothing from publishers, and answers nothing."""
    repeats = True

    def __init__(self, server: rabbitmq.RabbitMq) -> None:
        self._server = server
        self._alive = 0

    @property
    def ports(self) -> list[int]:
        return self._server.ports

    async def prepare(self) -> None:
        """The queue has as many members as there are nodes when it is declared."""
        async with asyncio.timeout(READY_S):
            while await self._control("eval", "length(rabbit_mnesia:cluster_nodes(running)).") != str(NODES):
                await asyncio.sleep(POLL_S)
        async with aiormq.connect(self._server.url()) as connection:
            channel = await connection.channel()
            await channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})

    async def kill_leader(self) -> int:
        told = await self._control("list_queues", "leader", "--no-table-headers")
        leader = self._server.number(told)
        self._alive = (leader + 1) % NODES
        await asyncio.to_thread(self._server.kill, leader)
        return leader

    async def restart(self, node: int) -> None:
        await asyncio.to_thread(self._server.start, [node])

    async def fill(self) -> None:
        """On one node; all of them stop reading then."""
        await self._control("set_disk_free_limit", str(10**15))

    async def empty(self) -> None:
        await self._control("set_disk_free_limit", str(10**6))

    async def read(self) -> list[Read]:
        found: list[Read] = []
        async with aiormq.connect(self._server.url(self._alive)) as connection:
            channel = await connection.channel()
            while (message := await channel.basic_get(QUEUE, no_ack=True)).delivery_tag is not None:
                headers: dict[str, Any] = dict(message.header.properties.headers or {})
                found.append(Read(headers["webhook-id"], unquote(headers["postroom-ordering-key"])))
        return found

    async def _control(self, *arguments: str) -> str:
        return (await asyncio.to_thread(self._server.control, *arguments, node=self._alive)).strip()


@contextmanager
def open_target(kind: str, folder: Path) -> Iterator[Target]:
    """`kind`: nats or rabbitmq."""
    if kind == "nats":
        with nats_cluster.nats_cluster(folder) as cluster:
            yield Nats(cluster)
    else:
        with rabbitmq.rabbitmq(folder, nodes=NODES) as server:
            yield Rabbit(server)
