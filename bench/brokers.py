"""Rows about brokers: the real engine and adapter, over a bare producer of the same library.

The producer sends the same body, headers and properties to the same place, and as many messages at once wait
for their acknowledgement as deliveries do. Kafka is librdkafka's mock cluster and SQS is moto, so their rates
are no figures of theirs.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import uuid4

import aiormq
import nats
from aiormq import spec
from confluent_kafka import KafkaError, Producer
from pydantic import SecretStr
from redis.asyncio import Redis

from bench.channels import CONNECTIONS, publish_to, webhook_request
from bench.engine import open_engine
from bench.report import Report
from bench.stage import Stage
from chaos.nats_cluster import LOGIN as NATS_LOGIN
from chaos.nats_cluster import NatsCluster
from chaos.rabbitmq import LOGIN, rabbitmq
from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.settings import WebhookSettings
from postroom.channels.webhooks.adapter import WebhookAdapter
from postroom.channels.webhooks.brokers.message import ENVELOPE, build_message
from tests.factories.claims import make_claim
from tests.fixtures.kafka_mock import kafka_mock
from tests.fixtures.redis_server import LOGIN as REDIS_LOGIN
from tests.fixtures.redis_server import PASSWORD, RedisServer
from tests.fixtures.sqs import ACCOUNT, REGION, sqs_stand_in

NAME: Final = "bench"
SUBJECT: Final = "orders.eu"
STREAM: Final = "orders:eu"
KAFKA_RTT_S: Final = 0.002
"""Answers come 7 ms after the message then, as from a cluster that waits for its replicas: its own stand-in
stores nothing and answers at once."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A running one. `bare`: sends so many messages by its library alone."""

    origin: str
    place: str
    login: str
    bare: Callable[[int], Awaitable[None]]


async def measure_brokers(stage: Stage, report: Report, *, rounds: int) -> None:
    """`nats_over_bare` and so on: kept in the ledger, over a bare producer."""
    for name, running, count in (
        ("nats", _nats, 20_000),
        ("redis", _redis, 20_000),
        ("rabbitmq", _rabbitmq, 10_000),
        ("kafka", _kafka, 10_000),
        ("sqs", _sqs, 200),
    ):
        ratios, rates = [], []
        with tempfile.TemporaryDirectory() as folder, running(Path(folder) / name) as broker:
            for _ in range(rounds):
                started = time.perf_counter()
                await broker.bare(count)
                bare = count / (time.perf_counter() - started)
                rates.append(await _deliver(stage, broker, count))
                ratios.append(rates[-1] / bare)
        report.put(f"{name}_per_s", median(rates), spread=rates)
        report.put(f"{name}_over_bare", median(ratios), spread=ratios)


def _message() -> tuple[bytes, dict[str, str]]:
    """What the adapter hands to a broker of what `publish_to` publishes, made once: by the same code."""
    body, _ = webhook_request()
    claim = make_claim(message_id=uuid4(), channel="webhook", tenant="t0", type="invoice.paid")
    message = build_message(claim, format_=ENVELOPE, envelope=body, data=b"")
    return message.body, dict(message.headers)


async def _deliver(stage: Stage, broker: Broker, count: int) -> float:
    dsn = await stage.database()
    allowed = {broker.origin: ["*"]}

    def adapter(pool: Pool) -> WebhookAdapter:
        settings = WebhookSettings(allow_private=True, connections_per_host=CONNECTIONS, brokers=allowed)
        return WebhookAdapter(pool=pool, clock=SystemClock(), settings=settings)

    async with open_engine(dsn, adapter) as engine:
        url = broker.origin + broker.place
        await publish_to(engine.pool, [url], count, secret=SecretStr(broker.login), brokers=allowed)
        rate = await engine.drain()
        if left := await engine.pool.fetchval("select count(*) from postroom.delivery"):
            raise RuntimeError(f"{left} messages were not delivered")
    await stage.drop(dsn)
    return rate


@contextmanager
def _nats(folder: Path) -> Iterator[Broker]:
    """One server with JetStream on a disk."""
    server = NatsCluster(folder, nodes=1)
    server.start(0)

    async def bare(count: int) -> None:
        await server.make_stream("ORDERS", "orders.>")
        user, password = NATS_LOGIN.split(":")
        client = await nats.connect(f"nats://127.0.0.1:{server.ports[0]}", user=user, password=password)
        body, headers = _message()
        stream, left = client.jetstream(), iter(range(count))

        async def send() -> None:
            for _ in left:
                numbered = {**headers, "Nats-Msg-Id": f"{uuid4()}:{SUBJECT}"}
                await stream.publish(SUBJECT, body, headers=numbered, timeout=30)

        await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
        await client.close()

    try:
        yield Broker(f"nats://127.0.0.1:{server.ports[0]}", f"/{SUBJECT}", NATS_LOGIN, bare)
    finally:
        server.stop()


@contextmanager
def _redis(folder: Path) -> Iterator[Broker]:
    server = RedisServer(folder)
    server.start()

    async def bare(count: int) -> None:
        body, headers = _message()
        fields: Any = {**headers, "body": body}
        left = iter(range(count))

        async def send() -> None:
            async with Redis(port=server.port, username="app", password=PASSWORD) as client:
                for _ in left:
                    await client.xadd(STREAM, fields)

        await asyncio.gather(*(send() for _ in range(CONNECTIONS)))

    try:
        yield Broker(f"redis://127.0.0.1:{server.port}", f"/{STREAM}", REDIS_LOGIN, bare)
    finally:
        server.kill()


@contextmanager
def _rabbitmq(folder: Path) -> Iterator[Broker]:
    with rabbitmq(folder) as server:

        async def bare(count: int) -> None:
            body, headers = _message()
            left = iter(range(count))
            async with aiormq.connect(server.url()) as connection:
                channel = await connection.channel()
                await channel.queue_declare(NAME, durable=True, arguments={"x-queue-type": "quorum"})

                async def send() -> None:
                    channel = await connection.channel(on_return_raises=True)
                    for _ in left:
                        properties = spec.Basic.Properties(
                            content_type=headers["content-type"],
                            delivery_mode=2,
                            message_id=str(uuid4()),
                            headers=dict(headers),
                        )
                        await channel.basic_publish(
                            body, routing_key=NAME, mandatory=True, properties=properties
                        )

                await asyncio.gather(*(send() for _ in range(CONNECTIONS)))

        origin = f"amqp://127.0.0.1:{server.ports[0]}"
        yield Broker(origin, f"/?routing-key={NAME}", ":".join(LOGIN), bare)


@contextmanager
def _kafka(_folder: Path) -> Iterator[Broker]:
    with kafka_mock() as cluster:
        cluster.make_topic(NAME)
        cluster.delay(KAFKA_RTT_S)

        async def bare(count: int) -> None:
            producer = Producer(
                {"bootstrap.servers": cluster.bootstrap, "enable.idempotence": True, "linger.ms": 0}
            )
            ended = threading.Event()

            def serve() -> None:
                while not ended.is_set():
                    producer.poll(0.1)

            thread = threading.Thread(target=serve)
            thread.start()
            body, headers = _message()
            left = iter(range(count))
            loop = asyncio.get_running_loop()

            async def send() -> None:
                for _ in left:
                    stored: asyncio.Future[None] = loop.create_future()

                    def answered(
                        error: KafkaError | None, _: object, stored: asyncio.Future[None] = stored
                    ) -> None:
                        if error is not None:
                            raise RuntimeError(error.str())
                        loop.call_soon_threadsafe(stored.set_result, None)

                    producer.produce(NAME, body, headers=list(headers.items()), on_delivery=answered)
                    await stored

            await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
            ended.set()
            thread.join()

        yield Broker(f"kafka://127.0.0.1:{cluster.ports[0]}", f"/{NAME}", "", bare)


@contextmanager
def _sqs(_folder: Path) -> Iterator[Broker]:
    with sqs_stand_in() as stand_in:
        client = stand_in.client()
        queue = client.create_queue(QueueName=NAME)["QueueUrl"]

        async def bare(count: int) -> None:
            body, headers = _message()
            attributes = {
                name: {"DataType": "String", "StringValue": value} for name, value in headers.items()
            }
            left = iter(range(count))

            def send() -> None:
                mine: Any = stand_in.client()
                for _ in left:
                    mine.send_message(QueueUrl=queue, MessageBody=body.decode(), MessageAttributes=attributes)

            loop = asyncio.get_running_loop()
            with ThreadPoolExecutor(CONNECTIONS) as threads:
                await asyncio.gather(*(loop.run_in_executor(threads, send) for _ in range(CONNECTIONS)))

        origin = f"sqs+http://127.0.0.1:{stand_in.port}"
        yield Broker(origin, f"/{ACCOUNT}/{NAME}?region={REGION}", stand_in.login, bare)
