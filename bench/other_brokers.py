"""Rows about RabbitMQ, Kafka and SQS: the real engine and adapter, over a bare producer of the same library.

The producer sends the same bytes to the same place, and as many messages at once wait for their
acknowledgement as deliveries do. Kafka is librdkafka's mock cluster and SQS is moto, so their rates are no
figures of theirs.
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

import aiormq
from aiormq import spec
from confluent_kafka import KafkaError, Producer
from pydantic import SecretStr

from bench.channels import CONNECTIONS, publish_to, webhook_request
from bench.engine import open_engine
from bench.report import Report
from bench.stage import Stage
from chaos.rabbitmq import LOGIN, rabbitmq
from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.settings import WebhookSettings
from postroom.channels.webhooks.adapter import WebhookAdapter
from tests.fixtures.kafka_mock import kafka_mock
from tests.fixtures.sqs import ACCOUNT, REGION, sqs_stand_in

NAME: Final = "bench"


@dataclass(frozen=True, slots=True)
class Broker:
    """A running one. `bare`: sends so many messages by its library alone."""

    origin: str
    place: str
    login: str
    bare: Callable[[int], Awaitable[None]]


async def measure_other_brokers(stage: Stage, report: Report, *, rounds: int) -> None:
    """`rabbitmq_over_bare`, `kafka_over_bare`, `sqs_over_bare`: kept in the ledger, over a bare producer."""
    for name, running, count in (
        ("rabbitmq", _rabbitmq, 5_000),
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
def _rabbitmq(folder: Path) -> Iterator[Broker]:
    with rabbitmq(folder) as server:

        async def bare(count: int) -> None:
            body, headers = webhook_request()
            left = iter(range(count))
            async with aiormq.connect(server.url()) as connection:
                channel = await connection.channel()
                await channel.queue_declare(NAME, durable=True, arguments={"x-queue-type": "quorum"})

                async def send() -> None:
                    channel = await connection.channel(on_return_raises=True)
                    for number in left:
                        properties = spec.Basic.Properties(
                            delivery_mode=2, message_id=str(number), headers=dict(headers)
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
            body, headers = webhook_request()
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
            body, headers = webhook_request()
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
