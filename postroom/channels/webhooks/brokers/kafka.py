"""Kafka: `kafka://host:9092/topic`. The producer is idempotent and waits for all replicas in sync."""

from __future__ import annotations

import asyncio
import re
from threading import Thread
from typing import ClassVar, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from postroom.base.log import get_logger
from postroom.channels.webhooks.brokers.login import Login
from postroom.channels.webhooks.brokers.transport import BrokerMessage, Node, OpenFailed
from postroom.channels.webhooks.brokers.url import BrokerUrl
from postroom.channels.webhooks.url import fault
from postroom.outbox.model import Delivered, Outcome, Rejected, RetryLater, Trip, Unknown

_TOPIC: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_MECHANISMS: Final = frozenset({"plain", "scram-sha-256", "scram-sha-512"})
_POLL_S: Final = 0.1
_PATIENCE_S: Final = 1.0
_LINGER_MS: Final = 2
"""With 0 the library's thread spins while a request is under way: half a core at 5 ms each."""
_QUEUED_MAX: Final = 10_000
_BODY_BYTES_MAX: Final = 10_000_000
"""Above all that we send: the broker says what it takes."""
_LOGIN: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
_TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
_REFUSED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.POLICY_VIOLATION,
        KafkaError.INVALID_RECORD,
        KafkaError._UNKNOWN_TOPIC,
    }
)


log = get_logger(__name__)


class KafkaTransport:
    """One producer of librdkafka, which has a thread for each broker; a thread of ours waits for its answers.

    Promise: `Delivered` is on every replica in sync. What has a key keeps to one partition, and a message
    that the library itself repeats is stored once. Does not promise: that one which we repeat is; consumers
    deduplicate on the header `webhook-id`. The url names where the cluster is asked for its brokers, and the
    library connects to those as the cluster names them: who allows a cluster allows them.
    """

    port: ClassVar = 9092
    options: ClassVar = frozenset({"mechanism"})

    def __init__(self, url: BrokerUrl, login: Login | None) -> None:
        self._topic = url.path
        self._mechanism = url.option("mechanism", "plain")
        self._login = login
        self._loop = asyncio.get_running_loop()
        self._producer: Producer | None = None
        self._poller: Thread | None = None
        self._closing = False
        self._fatal = False
        self._opened: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    def check(cls, url: BrokerUrl) -> None:
        if not _TOPIC.fullmatch(url.path):
            raise fault(
                "must end in a topic: up to 249 letters, digits, dots, - and _, no wildcards or spaces"
            )
        if url.option("mechanism", "plain") not in _MECHANISMS:
            raise fault(f"has an unknown mechanism; there are {', '.join(sorted(_MECHANISMS))}")

    @property
    def is_open(self) -> bool:
        return self._producer is not None and not self._fatal

    async def open(self, node: Node) -> None:
        _, probe = await asyncio.open_connection(
            node.address, node.port
        )  # says at once what the library does not
        probe.close()
        self._producer = Producer(self._settings(node))
        self._poller = Thread(target=self._serve, args=(self._producer,), name="kafka", daemon=True)
        self._poller.start()
        await self._opened

    async def begin(self, message: BrokerMessage) -> asyncio.Future[Outcome]:
        if self._producer is None:
            raise RuntimeError("open() comes before begin()")
        answer: asyncio.Future[Outcome] = self._loop.create_future()

        def settle(outcome: Outcome) -> None:
            if not answer.done():
                answer.set_result(outcome)

        def answered(error: KafkaError | None, stored: Message) -> None:
            self._loop.call_soon_threadsafe(settle, _judge(error, stored))

        try:
            self._producer.produce(
                self._topic,
                message.body,
                key=message.key.encode() if message.key is not None else None,
                headers=_headers(message),
                on_delivery=answered,
            )
        except KafkaException as error:
            settle(_refusal(_error(error)))
        except BufferError:
            settle(RetryLater("too much waits for the broker already", code="queue_full", trip=Trip.NO))
        return answer

    async def close(self) -> None:
        """What was not acknowledged yet is dropped, and whoever waits for it told so."""
        self._closing = True
        if self._producer is not None:
            self._producer.purge()
        if self._poller is not None:
            await asyncio.to_thread(self._poller.join)
        self._producer = None

    def _serve(self, producer: Producer) -> None:
        """The thread: asks for the topic until there is an answer, then waits for what the library tells."""
        self._ask(producer)
        while not self._closing:
            self._poll(producer, _POLL_S)
        self._poll(producer, 0)

    def _poll(self, producer: Producer, within_s: float) -> None:
        try:
            producer.poll(within_s)
        except KafkaException as error:  # fatal; what waits is answered in the next polls
            log.warning("broker.producer_failed", error=_error(error).name())
            self._fatal = True

    def _ask(self, producer: Producer) -> None:
        """The library tells only while it is polled why it does not connect, so each wait for it is short."""
        patience_s = _POLL_S
        while not self._closing and not self._opened.done():
            try:
                producer.list_topics(self._topic, patience_s)
            except KafkaException:
                self._poll(producer, 0)
                patience_s = min(2 * patience_s, _PATIENCE_S)
            else:
                self._loop.call_soon_threadsafe(self._end_opening, None)
                return

    def _end_opening(self, failed: OpenFailed | None) -> None:
        if self._opened.done():
            return
        if failed is None:
            self._opened.set_result(None)
        else:
            self._opened.set_exception(failed)

    def _settings(self, node: Node) -> dict[str, str | int | bool | object]:
        found: dict[str, str | int | bool | object] = {
            "bootstrap.servers": f"[{node.host}]:{node.port}"
            if ":" in node.host
            else f"{node.host}:{node.port}",
            "client.id": "postroom",
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": _LINGER_MS,
            "queue.buffering.max.messages": _QUEUED_MAX,
            "message.max.bytes": _BODY_BYTES_MAX,
            "security.protocol": ("SASL_" if self._login else "") + ("SSL" if node.tls else "PLAINTEXT"),
            "log_level": 0,  # it would write to standard error
            "error_cb": self._on_error,
        }
        if self._login is not None:
            found["sasl.mechanism"] = self._mechanism.upper()
            found["sasl.username"] = self._login.user
            found["sasl.password"] = self._login.password.get_secret_value()
        return found

    def _on_error(self, error: KafkaError) -> None:
        """Told in the thread. The library tries again by itself."""
        if error.code() in _LOGIN:
            failed = OpenFailed("the broker refused the login", "login_refused")
            self._loop.call_soon_threadsafe(self._end_opening, failed)


def _headers(message: BrokerMessage) -> list[tuple[str, str | bytes | None]]:
    """CloudEvents' attributes are named as its Kafka binding names them."""
    return [*message.headers.items(), *((f"ce_{name}", value) for name, value in message.attributes.items())]


def _judge(error: KafkaError | None, stored: Message) -> Outcome:
    if error is None:
        return Delivered(code="stored", detail=f"partition {stored.partition()}, offset {stored.offset()}")
    return _refusal(error)


def _refusal(error: KafkaError) -> Outcome:
    """What the broker answered; `Unknown` for all after which the message may still be stored."""
    if error.code() in _TOO_LARGE:
        return Rejected("larger than the broker takes", code="too_large")
    if error.code() in _REFUSED:
        return RetryLater(f"the broker refused it: {error.name()}", code=error.name().lower(), trip=Trip.NO)
    return Unknown("the message was not acknowledged", code=error.name().strip("_").lower())


def _error(exception: KafkaException) -> KafkaError:
    found: KafkaError = exception.args[0]
    return found
