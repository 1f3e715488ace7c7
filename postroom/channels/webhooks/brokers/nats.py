"""NATS JetStream: `nats://host:4222/subject`. A stream must listen to the subject; its answer is awaited."""

from __future__ import annotations

import asyncio
import re
from itertools import count
from typing import Any, ClassVar, Final

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import AuthorizationError, Error, MaxPayloadError

from postroom.base.log import get_logger
from postroom.channels.webhooks.brokers.login import Login
from postroom.channels.webhooks.brokers.transport import BrokerMessage, Node, OpenFailed
from postroom.channels.webhooks.brokers.url import BrokerUrl
from postroom.channels.webhooks.url import fault
from postroom.outbox.model import Delivered, Outcome, Rejected, RetryLater, Trip, Unknown
from postroom.overrides.nats_tls import TlsClient

_SUBJECT: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_SUBJECT_CHARACTERS_MAX: Final = 250
_TOO_LARGE: Final = 10054
"""What JetStream calls a message above the stream's own limit."""
_PING_S: Final = 20
_LOST: Final = Unknown("the connection ended before the acknowledgement", code="disconnected")

log = get_logger(__name__)


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Told(msgspec.Struct):
    """JetStream's acknowledgement: where it stored a message, or why it did not."""

    stream: str = ""
    seq: int = 0
    error: _Error | None = None


_decode: Final = msgspec.json.Decoder(_Told).decode


class NatsTransport:
    """One connection. Every message asks for JetStream's acknowledgement at an inbox of its own.

    Promise: `Delivered` is what a stream has stored, on as many servers as it has replicas. A message that
    comes again within the stream's duplicate window is stored once. Does not promise: anything to whoever
    listens without a stream.
    """

    port: ClassVar = 4222
    options: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, url: BrokerUrl, login: Login | None) -> None:
        self._subject = url.path
        self._login = login
        self._client = Client()
        self._inbox = ""
        self._numbers = count(1)
        self._awaited: dict[str, asyncio.Future[Outcome]] = {}
        self._last_error: Exception | None = None

    @classmethod
    def check(cls, url: BrokerUrl) -> None:
        if not _SUBJECT.fullmatch(url.path) or len(url.path) > _SUBJECT_CHARACTERS_MAX:
            raise fault(
                "must end in a subject: letters, digits, - and _ with single dots in between, no wildcards"
            )

    @property
    def is_open(self) -> bool:
        return self._client.is_connected

    async def open(self, node: Node) -> None:
        self._loop = asyncio.get_running_loop()  # kept, for up to Python 3.11 that is a system call
        host = f"[{node.address}]" if ":" in node.address else node.address
        options: dict[str, Any] = self._credentials()
        if node.tls is not None:
            self._client = TlsClient()
            options |= {"tls": node.tls, "tls_hostname": node.host}
        try:
            await self._client.connect(
                f"{'tls' if node.tls else 'nats'}://{host}:{node.port}",
                name="postroom",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                ping_interval=_PING_S,
                error_cb=self._on_error,
                closed_cb=self._on_closed,
                **options,
            )
            self._inbox = self._client.new_inbox()
            await self._client.subscribe(f"{self._inbox}.*", cb=self._on_answer)
        except Error as error:
            cause = self._last_error or error
            if isinstance(cause, OSError):
                raise cause from None
            text = str(cause)
            if isinstance(cause, AuthorizationError) or "authorization" in text.lower():
                raise OpenFailed("the broker refused the login", "login_refused") from None
            raise OpenFailed("the broker's greeting was not understood", "protocol") from None

    async def begin(self, message: BrokerMessage) -> asyncio.Future[Outcome]:
        number = str(next(self._numbers))
        answer: asyncio.Future[Outcome] = self._loop.create_future()
        self._awaited[number] = answer
        headers = dict(message.headers)
        if message.attributes:
            headers |= {f"ce-{name}": value for name, value in message.attributes.items()}
        # A stream may take several subjects, and the same message on each is another one to it.
        headers["Nats-Msg-Id"] = f"{message.id}:{self._subject}"
        try:
            await self._client.publish(
                self._subject, message.body, reply=f"{self._inbox}.{number}", headers=headers
            )
        except MaxPayloadError:
            self._answer(number, Rejected("larger than the broker takes", code="too_large"))
        except (Error, OSError):
            self._answer(number, _LOST)
        return answer

    async def close(self) -> None:
        try:
            await self._client.close()
        except (Error, OSError) as error:
            log.info("broker.close_failed", error=repr(error))
        await self._on_closed()

    def _credentials(self) -> dict[str, Any]:
        if self._login is None:
            return {}
        password = self._login.password.get_secret_value()
        return {"user": self._login.user, "password": password} if self._login.user else {"token": password}

    async def _on_answer(self, answer: Msg) -> None:
        self._answer(answer.subject.rpartition(".")[2], judge(answer))

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        if (
            "permissions violation for publish" in str(error).lower()
        ):  # said of the connection, not the message
            for number in list(self._awaited):
                self._answer(
                    number, RetryLater("the broker refused the subject", code="refused", trip=Trip.NO)
                )

    async def _on_closed(self) -> None:
        for number in list(self._awaited):
            self._answer(number, _LOST)

    def _answer(self, number: str, outcome: Outcome) -> None:
        awaited = self._awaited.pop(number, None)
        if awaited is not None and not awaited.done():
            awaited.set_result(outcome)


def judge(answer: Msg) -> Outcome:
    """What JetStream's answer means; `Unknown` where it is none."""
    if (answer.headers or {}).get("Status") == "503":
        return RetryLater("no stream listens to the subject", code="no_stream", trip=Trip.NO)
    try:
        told = _decode(answer.data)
    except ValueError:  # a text that is no UTF-8 is no error of msgspec
        return Unknown("the acknowledgement was not understood", code="protocol")
    error = told.error
    if error is None and told.stream and told.seq:
        return Delivered(code="stored", detail=f"stream {told.stream}, sequence {told.seq}")
    if error is None:
        return Unknown("the acknowledgement was not understood", code="protocol")
    text = error.description[:500]
    if error.err_code == _TOO_LARGE:
        return Rejected("larger than the stream takes", code="too_large", detail=text)
    return RetryLater(f"JetStream refused it: {error.err_code}", code=str(error.err_code), detail=text)
