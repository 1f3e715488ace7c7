"""Redis streams: `redis://host:6379/stream`. What is handed over together goes in one round trip."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from redis.asyncio.connection import Connection
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from postroom.base.errors import Unavailable
from postroom.base.log import get_logger
from postroom.channels.webhooks.brokers.login import Login
from postroom.channels.webhooks.brokers.transport import BrokerMessage, Node, OpenFailed, ended
from postroom.channels.webhooks.brokers.url import BrokerUrl
from postroom.channels.webhooks.url import fault
from postroom.outbox.model import Delivered, Outcome, RetryLater, Trip, Unknown
from postroom.resilience.batcher import Batcher

_STREAM: Final = re.compile(r"[A-Za-z0-9_.:{}-]{1,250}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_WAIT_MS: Final = 2_000
_BATCH_MAX: Final = 200
_LOST: Final = Unknown("the connection ended before the acknowledgement", code="disconnected")
_ERROR_CODE: Final = re.compile(r"[A-Z]{2,20}\b")

log = get_logger(__name__)


class _CheckedConnection(Connection):
    """One connection to an address that was checked, and the name that its certificate has to have."""

    def __init__(self, node: Node, **options: Any) -> None:
        super().__init__(host=node.address, port=node.port, **options)
        self._node = node

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments: dict[str, Any] = {"host": self.host, "port": self.port}
        if self._node.tls is not None:
            arguments |= {"ssl": self._node.tls, "server_hostname": self._node.host}
        return arguments


class RedisTransport:
    """One connection, and one `XADD` a message with the fields of its headers and `body`.

    Promise: `Delivered` is what the server has added to the stream and, with `replicas=N`, what so many
    replicas have acknowledged. Does not promise: that a server which dies has it on its disk, which its own
    `appendfsync` decides; one id once, for streams do not deduplicate.
    """

    port: ClassVar = 6379
    options: ClassVar = frozenset(("db", "maxlen", "replicas"))

    def __init__(self, url: BrokerUrl, login: Login | None) -> None:
        self._stream = url.path
        self._database = int(url.option("db", "0"))
        self._maxlen = url.option("maxlen")
        self._replicas = int(url.option("replicas", "0"))
        self._login = login
        self._connection: _CheckedConnection | None = None
        self._batches: Batcher[BrokerMessage, Outcome] = Batcher(self._add, batch_max=_BATCH_MAX)

    @classmethod
    def check(cls, url: BrokerUrl) -> None:
        if not _STREAM.fullmatch(url.path):
            raise fault("must end in the name of a stream: letters, digits and any of _ . : { } -")
        for name in cls.options:
            value = url.option(name, "1")
            if not _NUMBER.fullmatch(value) or (name == "maxlen" and int(value) == 0):
                raise fault(f"needs a number as {name}")

    @property
    def is_open(self) -> bool:
        return self._connection is not None and self._connection.is_connected

    async def open(self, node: Node) -> None:
        password = self._login.password.get_secret_value() if self._login else None
        connection = _CheckedConnection(
            node,
            db=self._database,
            username=(self._login.user or None) if self._login else None,
            password=password,
            protocol=2,  # by the third one a server may send clients elsewhere
            socket_timeout=None,
            socket_connect_timeout=None,
        )
        self._connection = connection
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("PING")
            await connection.read_response()
        except NoPermissionError:
            return  # it was let in, and may do no more than it needs
        except AuthenticationError:
            raise OpenFailed("the broker refused the login", "login_refused") from None
        except ResponseError as error:
            raise OpenFailed("the broker refused the connection", _code(error)) from None
        except RedisError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise OSError(None, "no connection to the broker") from None

    async def begin(self, message: BrokerMessage) -> asyncio.Future[Outcome]:
        try:
            return self._batches.hand_in(message)
        except Unavailable:
            return ended(RetryLater("too many messages wait for the broker", code="busy", trip=Trip.NO))

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.disconnect(nowait=True)
            except (RedisError, OSError) as error:
                log.info("broker.close_failed", error=repr(error))
        await self._batches.close()

    async def _add(self, messages: Sequence[BrokerMessage]) -> list[Outcome]:
        """Add them in one round trip; one answer each, in order."""
        connection, answers = self._connection, list[Outcome]()
        if connection is None or not connection.is_connected:
            return [_LOST] * len(messages)
        commands = [self._command(each) for each in messages]
        if self._replicas:
            commands.append(("WAIT", self._replicas, _WAIT_MS))
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
            for _ in messages:
                answers.append(await self._read(connection))
            if self._replicas and await self._acknowledged(connection) < self._replicas:
                few = Unknown("fewer replicas have acknowledged it than asked for", code="replicas")
                answers = [few if isinstance(each, Delivered) else each for each in answers]
        except (RedisError, OSError):
            answers = [] if self._replicas else answers
        return answers + [_LOST] * (len(messages) - len(answers))

    async def _read(self, connection: Connection) -> Outcome:
        try:
            stored = await connection.read_response()
        except ReadOnlyError:  # another node leads now
            await connection.disconnect(nowait=True)
            return RetryLater("the node is a replica", code="READONLY")
        except NoPermissionError:
            return RetryLater("the broker refused the stream", code="refused", trip=Trip.NO)
        except OutOfMemoryError:
            return RetryLater("the broker is full", code="full")
        except ResponseError as error:
            code = _code(error)
            return RetryLater(
                "the broker refused it", code=code, trip=Trip.NO if code == "WRONGTYPE" else Trip.STRIKE
            )
        return Delivered(code="stored", detail=f"entry {stored.decode()}")

    async def _acknowledged(self, connection: Connection) -> int:
        """How many replicas have all that was added; none where this login may not ask."""
        try:
            return int(await connection.read_response())
        except ResponseError as error:
            log.warning("broker.replicas_not_told", code=_code(error))
            return 0

    def _command(self, message: BrokerMessage) -> tuple[str | bytes | int, ...]:
        fields: list[str | bytes] = []
        for name, value in message.headers.items():
            fields += (name, value)
        for name, value in message.attributes.items():
            fields += (f"ce-{name}", value)
        limit = ("MAXLEN", "~", self._maxlen) if self._maxlen else ()
        return ("XADD", self._stream, *limit, "*", *fields, "body", message.body)


def _code(error: ResponseError) -> str:
    """What the server calls it. The texts behind may hold names, so that only this is kept."""
    found = _ERROR_CODE.match(str(error))
    return found[0] if found else "ERR"
