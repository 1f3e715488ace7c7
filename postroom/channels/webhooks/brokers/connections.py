"""Connections to brokers: opened at a first delivery, shared by those that follow, closed when one fails."""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from aiohttp.abc import AbstractResolver
from pydantic import SecretStr

from postroom.base.log import get_logger
from postroom.channels.webhooks.address import Private, is_allowed
from postroom.channels.webhooks.answer import PRIVATE
from postroom.channels.webhooks.brokers.kinds import KINDS, transport_of
from postroom.channels.webhooks.brokers.login import read_login
from postroom.channels.webhooks.brokers.transport import BrokerMessage, Node, OpenFailed, Transport
from postroom.channels.webhooks.brokers.url import BrokerUrl
from postroom.channels.webhooks.client import PrivateAddress
from postroom.outbox.model import Answer, Deferred, Outcome, RetryLater, Unknown, Wait
from postroom.resilience.time_limit import TimeLimit

CONNECTIONS_MAX: Final = 100
CONNECT_S: Final = 5.0
CLOSE_S: Final = 5.0
IDLE_S: Final = 60.0
_FULL: Final = Deferred(Wait.DESTINATION_FULL, "every connection to a broker is taken")
_NOT_CONNECTED: Final = RetryLater("no connection within the time limit", code="connect_timeout")
_NOT_ACKNOWLEDGED: Final = Unknown("no acknowledgement within the time limit", code="timeout")

log = get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Line:
    """A connection that was opened, and how many deliveries wait on it."""

    transport: Transport
    in_flight: int = 0
    retired: bool = False


class _Place:
    """One url and login. `first`: which node is tried first; `users`: deliveries that open it or wait;
    `used_at`: when one of them ended last, by the loop's clock."""

    def __init__(self, url: BrokerUrl, secret: SecretStr | None) -> None:
        self.url = url
        self.login = read_login(secret)
        self.line: _Line | None = None
        self.opening = asyncio.Lock()
        self.users = 0
        self.used_at = 0.0
        self.first = 0


class BrokerConnections:
    """Promise: every wait is within `timeout_s`, as `TimeLimit` has it; no address is dialled that is not
    allowed.

    There is one connection for each url and login. One that loses an acknowledgement takes no more messages:
    the next delivery opens another one, at the next node. One that nobody has used for `idle_s` is closed
    before twice that time is over; where there are `CONNECTIONS_MAX`, the oldest that is free at once.
    """

    def __init__(
        self,
        *,
        resolver: AbstractResolver,
        private: Private,
        timeout_s: float,
        idle_s: float = IDLE_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls`: for what brokers' certificates have to be; without it, as this machine trusts."""
        self._resolver = resolver
        self._private = private
        self._timeout_s = timeout_s
        self._limit = TimeLimit(timeout_s)
        self._idle_s = idle_s
        self._idle_timer: asyncio.TimerHandle | None = None
        self._tls = tls or ssl.create_default_context()
        self._places: OrderedDict[tuple[str, str | None], _Place] = OrderedDict()
        self._closing = set[asyncio.Task[None]]()

    async def send(
        self, url: BrokerUrl, secret: SecretStr | None, messages: Sequence[BrokerMessage]
    ) -> Sequence[Answer]:
        """One attempt for each, one behind the other; one answer each. `secret`: the endpoint's, a login."""
        place = self._place(url, secret)
        if place is None:
            return [_FULL] * len(messages)
        line: _Line | None = None
        begun: list[asyncio.Future[Outcome]] = []
        answers: list[Outcome] | None = None
        place.users += 1
        try:
            with self._limit:
                opened: _Line | Outcome | None = place.line
                if not isinstance(opened, _Line) or not opened.transport.is_open:
                    opened = await self._open(place)
                if not isinstance(opened, _Line):
                    return [opened] * len(messages)
                line = opened
                line.in_flight += 1
                for message in messages:  # what has begun is known if it is cut off
                    begun.append(await line.transport.begin(message))
                answers = [await each for each in begun]
        except TimeoutError:
            late = _NOT_CONNECTED if line is None else _NOT_ACKNOWLEDGED
            answers = [each.result() if each.done() and not each.cancelled() else late for each in begun]
            answers += [late] * (len(messages) - len(begun))
        finally:
            place.users -= 1
            if not place.users:
                place.used_at = asyncio.get_running_loop().time()
            if line is not None:
                lost = answers is None or any(isinstance(each, Unknown) for each in answers)
                if lost:
                    for each in begun:
                        each.cancel()
                self._left(place, line, lost=lost)
        return answers

    async def close(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        for place in self._places.values():
            if place.line is not None:
                self._retire(place, place.line)
        self._places.clear()
        if self._closing:
            await asyncio.wait(self._closing)

    def _place(self, url: BrokerUrl, secret: SecretStr | None) -> _Place | None:
        # By its text, for to compare two `SecretStr` takes ten calls.
        key = (url.text, secret.get_secret_value() if secret is not None else None)
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= CONNECTIONS_MAX and not self._forget_one():
                return None
            place = self._places[key] = _Place(url, secret)
        self._places.move_to_end(key)
        if self._idle_timer is None:
            self._look_later()
        return place

    def _look_later(self) -> None:
        self._idle_timer = asyncio.get_running_loop().call_later(self._idle_s, self._forget_idle)

    def _forget_idle(self) -> None:
        """Close what nobody has used for a while, and look again while there is something left."""
        self._idle_timer = None
        oldest = asyncio.get_running_loop().time() - self._idle_s
        for key, place in list(self._places.items()):
            if not place.users and place.used_at <= oldest:
                self._forget(key)
        if self._places:
            self._look_later()

    def _forget_one(self) -> bool:
        """Close the one that was used longest ago and is free. Returns: whether there is one."""
        for key, place in self._places.items():
            if not place.users:
                self._forget(key)
                return True
        return False

    def _forget(self, key: tuple[str, str | None]) -> None:
        place = self._places.pop(key)
        if place.line is not None:
            self._retire(place, place.line)

    async def _open(self, place: _Place) -> _Line | Outcome:
        """The open connection, or why there is none: then nothing was sent."""
        async with place.opening:
            if place.line is not None and place.line.transport.is_open:
                return place.line
            if place.line is not None:
                self._retire(place, place.line)
            failed: Outcome = RetryLater("the host name has no address", code="dns")
            nodes = place.url.nodes
            limit_s = min(CONNECT_S, self._timeout_s / (len(nodes) + 1))
            for number in range(len(nodes)):
                host, port = nodes[(place.first + number) % len(nodes)]
                try:
                    async with asyncio.timeout(limit_s):
                        place.line = _Line(await self._connected(place, host, port))
                except PrivateAddress:
                    return PRIVATE
                except (OpenFailed, OSError) as error:
                    failed = _judge_opening(error)
                else:
                    return place.line
            return failed

    async def _connected(self, place: _Place, host: str, port: int) -> Transport:
        """Errors: `PrivateAddress`, `OpenFailed`, `OSError` (`TimeoutError` is one)."""
        kind = KINDS[place.url.scheme]
        failed: OSError | OpenFailed = OSError(None, "no address")
        for address in await self._addresses(host, port):
            transport = transport_of(place.url.scheme)(place.url, place.login)
            try:
                await transport.open(Node(host, address, port, self._tls if kind.tls else None))
            except (OpenFailed, OSError) as error:
                failed = error
                self._close(transport)
            except BaseException:
                self._close(transport)
                raise
            else:
                return transport
        raise failed

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            ip_address(host)
        except ValueError:
            return [each["host"] for each in await self._resolver.resolve(host, port)]
        if not is_allowed(host, self._private):
            raise PrivateAddress(host)
        return [host]

    def _left(self, place: _Place, line: _Line, *, lost: bool) -> None:
        line.in_flight -= 1
        if lost and not line.retired:
            self._retire(place, line)
        elif line.retired and not line.in_flight:
            self._close(line.transport)

    def _retire(self, place: _Place, line: _Line) -> None:
        line.retired = True
        if place.line is line:
            place.line = None
            place.first += 1
        if not line.in_flight:
            self._close(line.transport)

    def _close(self, transport: Transport) -> None:
        task = asyncio.create_task(_close(transport))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _judge_opening(error: OpenFailed | OSError) -> Outcome:
    match error:
        case OpenFailed():
            return RetryLater(error.reason, code=error.code)
        case TimeoutError():
            return RetryLater("no connection within the time limit", code="connect_timeout")
        case ssl.SSLCertVerificationError():
            return RetryLater(f"the certificate is not trusted: {error.verify_message}", code="tls")
        case ssl.SSLError():
            return RetryLater("no trusted TLS connection", code="tls")
        case ConnectionRefusedError():
            return RetryLater("the connection was refused", code="refused")
        case _:
            return RetryLater("no connection could be made", code="connect")


async def _close(transport: Transport) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await transport.close()
    except TimeoutError:
        log.warning("broker.close_timed_out")
