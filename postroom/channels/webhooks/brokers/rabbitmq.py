"""RabbitMQ: `amqp://host:5672/exchange?routing-key=…`. Messages are persistent, mandatory and confirmed."""

from __future__ import annotations

import asyncio
import re
from typing import Any, ClassVar, Final

import aiormq
from aiormq import spec
from aiormq.abc import AbstractChannel
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

_EXCHANGE: Final = re.compile(r"[A-Za-z0-9._:-]{0,127}")
_ROUTING_KEY: Final = re.compile(r"[A-Za-z0-9._:-]{0,255}")
_PERSISTENT: Final = 2
_TOO_LARGE: Final = "larger than configured max size"
_LOST: Final = Unknown("the connection ended before the confirmation", code="disconnected")

log = get_logger(__name__)


class RabbitTransport:
    """One connection, with a channel for each message under way: what the broker refuses ends its channel.

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
        self._unused: list[AbstractChannel] = []

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
        self._connection = aiormq.Connection(
            url, transport_factory=_Dialled(node), client_properties={"connection_name": "postroom"}
        )
        try:
            await self._connection.connect()
            self._unused.append(await self._connection.channel(on_return_raises=True))
        except (AuthenticationError, ProbableAuthenticationError):
            raise OpenFailed("the broker refused the login", "login_refused") from None
        except OSError:
            raise
        except AMQPError as error:
            log.info("broker.open_failed", error=repr(error))
            raise OpenFailed("the broker did not open the virtual host", "vhost_refused") from None

    async def send(self, message: BrokerMessage) -> Outcome:
        if self._connection is None:
            raise RuntimeError("open() comes before send()")
        try:
            channel = (
                self._unused.pop() if self._unused else await self._connection.channel(on_return_raises=True)
            )
        except (AMQPError, ChannelInvalidStateError, OSError, RuntimeError):
            return _LOST
        outcome = await self._publish(channel, message)
        if not channel.is_closed:  # after a cancelled publish it is not used again
            self._unused.append(channel)
        return outcome

    async def _publish(self, channel: AbstractChannel, message: BrokerMessage) -> Outcome:
        try:
            await channel.basic_publish(
                message.body,
                exchange=self._exchange,
                routing_key=self._routing_key or message.type,
                properties=_properties(message),
                mandatory=True,
            )
        except (AMQPError, ChannelInvalidStateError, OSError) as error:
            return _judge(error)
        return Delivered(code="confirmed")

    async def close(self) -> None:
        if self._connection is None:
            return
        try:
            await self._connection.close()
        except (AMQPError, OSError, RuntimeError) as error:
            log.info("broker.close_failed", error=repr(error))


class RabbitTlsTransport(RabbitTransport):
    port: ClassVar = 5671


class _Dialled(TransportFactory):
    """Connects to the node's address, and asks for the certificate of its host."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def create(self, url: URL, **_: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:  # noqa: ARG002
        node = self._node
        return await asyncio.open_connection(
            node.address, node.port, ssl=node.tls, server_hostname=node.host if node.tls else None
        )


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


def _judge(error: Exception) -> Outcome:
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
