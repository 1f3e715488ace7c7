"""RabbitMQ: `amqp://host:5672/exchange?routing-key=…`. Messages are persistent, mandatory and confirmed."""

from __future__ import annotations

import asyncio
import re
from typing import Any, ClassVar, Final, cast

import aiormq
from aiormq import spec
from aiormq.connection import TransportFactory
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
)
from yarl import URL

from postroom.base.log import get_logger
from postroom.channels.webhooks.brokers.login import Login
from postroom.channels.webhooks.brokers.transport import BrokerMessage, Node, OpenFailed
from postroom.channels.webhooks.brokers.url import BrokerUrl
from postroom.channels.webhooks.url import fault
from postroom.outbox.model import Delivered, Outcome, Rejected, RetryLater, Trip, Unknown
from postroom.overrides.aiormq_publish import SharedChannel

_EXCHANGE: Final = re.compile(r"[A-Za-z0-9._:-]{0,127}")
_ROUTING_KEY: Final = re.compile(r"[A-Za-z0-9._:-]{0,255}")
_PERSISTENT: Final = 2
_SHARED_BYTES_MAX: Final = 16_384
"""No server is set to refuse these for their size."""
_TOO_LARGE: Final = "larger than configured max size"
_CONFIRMED: Final = Delivered(code="confirmed")
_LOST: Final = Unknown("the connection ended before the confirmation", code="disconnected")
_CHANNEL_ENDED: Final = Unknown("another message ended the channel", code="channel_ended")

log = get_logger(__name__)


class RabbitTransport:
    """One connection. Small messages of one routing key share a channel, so that one frame confirms several.
    What the broker refuses ends its channel, so all others have one of their own while they are under way.

    Promise: `Delivered` is what every queue that it was routed to has taken over: on disk in a durable queue,
    on most of its nodes in a quorum queue. Does not promise: that a queue stores it once, for RabbitMQ looks
    at no id; consumers deduplicate on `message_id`.
    """

    port: ClassVar = 5672
    options: ClassVar = frozenset({"routing-key", "vhost"})

    def __init__(self, url: BrokerUrl, login: Login | None) -> None:
        self._exchange = url.path
        self._routing_key = url.option("routing-key")
        self._vhost = url.option("vhost", "/")
        self._login = login
        self._connection: aiormq.Connection | None = None
        self._unused: list[aiormq.Channel] = []

    @classmethod
    def check(cls, url: BrokerUrl) -> None:
        if not _EXCHANGE.fullmatch(url.path):
            raise fault(
                "must end in an exchange: letters, digits, dots, colons, - and _, no wildcards or spaces"
            )
        if not _ROUTING_KEY.fullmatch(url.option("routing-key")):
            raise fault("has a routing-key with other characters than letters, digits, dots, colons, - and _")
        if not url.path and not url.option("routing-key"):
            raise fault("must end in an exchange, or name a queue as its routing-key")

    @property
    def is_open(self) -> bool:
        return self._connection is not None and self._connection.is_opened

    async def open(self, node: Node) -> None:
        user, password = (
            (self._login.user, self._login.password.get_secret_value()) if self._login else (None, None)
        )
        path = "/" if self._vhost == "/" else f"/{self._vhost}"
        url = URL.build(
            scheme="amqp", host=node.host, port=node.port, user=user, password=password, path=path
        )
        self._loop = asyncio.get_running_loop()  # kept, for up to Python 3.11 that is a system call
        self._dialled = _Dialled(node)
        self._connection = aiormq.Connection(
            url, transport_factory=self._dialled, client_properties={"connection_name": "postroom"}
        )
        try:
            await self._connection.connect()
            self._share(await _opened(self._connection))
        except (AuthenticationError, ProbableAuthenticationError):
            raise OpenFailed("the broker refused the login", "login_refused") from None
        except OSError:
            raise
        except AMQPError as error:
            log.info("broker.open_failed", error=repr(error))
            raise OpenFailed("the broker did not open the virtual host", "vhost_refused") from None

    async def begin(self, message: BrokerMessage) -> asyncio.Future[Outcome]:
        if self._connection is None:
            raise RuntimeError("open() comes before begin()")
        if self._may_share(message):
            confirmation = _Confirmation(loop=self._loop)
            self._shared.publish(message.body, _properties(message), confirmation)
            return confirmation
        return asyncio.create_task(self._send(self._connection, message))

    async def _send(self, connection: aiormq.Connection, message: BrokerMessage) -> Outcome:
        try:
            channel = self._unused.pop() if self._unused else await _opened(connection)
        except (AMQPError, ChannelInvalidStateError, OSError, RuntimeError):
            return _LOST
        outcome = await self._publish(channel, message)
        if not channel.is_closed:  # after a cancelled publish it is not used again
            if self._shared.is_closed:
                self._share(channel)
            else:
                self._unused.append(channel)
        return outcome

    def _share(self, channel: aiormq.Channel) -> None:
        method = spec.Basic.Publish(exchange=self._exchange, routing_key=self._routing_key, mandatory=True)
        self._shared = SharedChannel(channel, self._dialled.writer, method)

    def _may_share(self, message: BrokerMessage) -> bool:
        small = len(message.body) <= _SHARED_BYTES_MAX
        return bool(self._routing_key) and small and self._shared.takes(message.id)

    async def _publish(self, channel: aiormq.Channel, message: BrokerMessage) -> Outcome:
        try:
            await channel.basic_publish(
                message.body,
                exchange=self._exchange,
                routing_key=self._routing_key or message.type,
                properties=_properties(message),
                mandatory=True,
                wait=False,  # for the socket to take it: the confirmation says more
            )
        except (AMQPError, ChannelInvalidStateError, OSError) as error:
            return _judge(error)
        return _CONFIRMED

    async def close(self) -> None:
        if self._connection is None:
            return
        try:
            await self._connection.close()
        except (AMQPError, OSError, RuntimeError) as error:
            log.info("broker.close_failed", error=repr(error))


async def _opened(connection: aiormq.Connection) -> aiormq.Channel:
    channel = await connection.channel(on_return_raises=True)
    return cast("aiormq.Channel", channel)  # which it is; the library's type for it lacks `wait`


class _Confirmation(asyncio.Future[Outcome]):
    """The library sets it to what the broker said; it ends as what that means."""

    def set_result(self, _: object) -> None:
        super().set_result(_CONFIRMED)

    def set_exception(self, error: type | BaseException | None) -> None:
        outcome = _judge(error)
        super().set_result(_CHANNEL_ENDED if isinstance(outcome, Rejected) else outcome)


class RabbitTlsTransport(RabbitTransport):
    port: ClassVar = 5671


class _Dialled(TransportFactory):
    """Connects to the node's address, and asks for the certificate of its host."""

    writer: asyncio.StreamWriter

    def __init__(self, node: Node) -> None:
        self._node = node

    async def create(self, url: URL, **_: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:  # noqa: ARG002
        node, loop = self._node, asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol: Any = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(
            lambda: protocol,
            node.address,
            node.port,
            ssl=node.tls,
            server_hostname=node.host if node.tls else None,
        )
        self.writer = _GatheringWriter(transport, protocol, reader, loop)
        return reader, self.writer


class _GatheringWriter(asyncio.StreamWriter):
    """What is written in one turn of the loop goes out in one write; the library has one for each message."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._gathered: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._flush)
        self._gathered.append(data)

    async def drain(self) -> None:
        self._flush()
        await super().drain()

    def write_eof(self) -> None:
        self._flush()
        super().write_eof()

    def close(self) -> None:
        self._flush()
        super().close()

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered and not self.is_closing():
            super().write(b"".join(gathered))


def _properties(message: BrokerMessage) -> spec.Basic.Properties:
    """CloudEvents' attributes are named as its AMQP binding names them."""
    headers: dict[str, Any] = {
        **message.headers,
        **{f"cloudEvents:{name}": value for name, value in message.attributes.items()},
    }
    return spec.Basic.Properties(
        content_type=message.headers.get("content-type"),
        delivery_mode=_PERSISTENT,
        message_id=message.id,
        headers=headers,
    )


def _judge(error: object) -> Outcome:
    match error:
        case PublishError():
            return RetryLater("no queue takes it", code="unroutable", trip=Trip.NO)
        case DeliveryError():
            return RetryLater("a queue did not take it", code="nack")
        case ChannelNotFoundEntity():
            return RetryLater("there is no such exchange", code="no_exchange", trip=Trip.NO)
        case ChannelAccessRefused():
            return RetryLater("the broker refused the exchange", code="refused", trip=Trip.NO)
        case ChannelPreconditionFailed():
            if _TOO_LARGE in str(error):
                return Rejected("larger than the broker takes", code="too_large")
            return RetryLater("the broker refused it", code="precondition_failed", trip=Trip.NO)
        case _:
            return _LOST
