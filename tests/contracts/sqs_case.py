"""SQS as the contract of brokers is tried on it: moto's stand-in, with a FIFO queue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Self

from postroom.base.listener import free_port
from tests.contracts.broker_case import BrokerCase, Got
from tests.fixtures.sqs import ACCOUNT, REGION, SqsStandIn, sqs_stand_in

QUEUE = "orders.fifo"
SIZE_MAX = 65_536
ATTRIBUTES = {"FifoQueue": "true", "MaximumMessageSize": str(SIZE_MAX)}


class SqsCase(BrokerCase):
    scheme = "sqs+http"
    good = f"/{ACCOUNT}/{QUEUE}?region={REGION}"
    bad_urls: ClassVar = (
        f"/{ACCOUNT}/orders.*?region={REGION}", f"/{ACCOUNT}/or ders?region={REGION}", f"/{QUEUE}",
        f"/{ACCOUNT}/{QUEUE}", f"/{ACCOUNT}/{QUEUE}?region=EU%20west", "/", "",
        f"/{ACCOUNT}/{QUEUE}?region={REGION}&group=x",
    )  # fmt: skip
    refused: ClassVar = ((f"/{ACCOUNT}/nobody?region={REGION}", "QueueDoesNotExist"),)
    large_bytes = SIZE_MAX
    deaf_from = b"SendMessage"
    attribute_prefix = "ce-"

    def __init__(self, stand_in: SqsStandIn) -> None:
        self._stand_in = stand_in
        self._next_port = free_port()

    @classmethod
    @contextmanager
    def run(cls, folder: Path) -> Iterator[Self]:
        with sqs_stand_in() as stand_in:
            yield cls(stand_in)

    @property
    def login(self) -> str:
        return self._stand_in.login

    @property
    def ports(self) -> list[int]:
        return [self._stand_in.port, self._next_port]

    async def prepare(self) -> None:
        self._prepare()

    def _prepare(self) -> None:
        client = self._stand_in.client()
        for url in client.list_queues().get("QueueUrls", ()):
            client.delete_queue(QueueUrl=url)
        self._queue = client.create_queue(QueueName=QUEUE, Attributes=ATTRIBUTES)["QueueUrl"]

    async def read(self) -> list[Got]:
        return await asyncio.to_thread(self._read)

    def _read(self) -> list[Got]:
        client, found = self._stand_in.client(), []
        while batch := client.receive_message(
            QueueUrl=self._queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for each in batch:
                headers = {name: told["StringValue"] for name, told in each["MessageAttributes"].items()}
                found.append(Got(each["Body"].encode(), headers))
                client.delete_message(QueueUrl=self._queue, ReceiptHandle=each["ReceiptHandle"])
        return found

    def kill_first(self) -> None:
        self._stand_in.kill()
        self._stand_in.port, self._next_port = self._next_port, self._stand_in.port
        self._stand_in.start()
        self._prepare()

    def restore(self) -> None:
        """It is back already, at another port."""
