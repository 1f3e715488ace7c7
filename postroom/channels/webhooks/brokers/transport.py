"""What one kind of broker is to the rest: the message, the node, and the protocol that each adapter keeps.

A new kind is a module beside this one with a class that keeps `Transport`, a line in `kinds.py`, an extra in
`pyproject.toml`, and a case in `tests/contracts/test_brokers.py`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import msgspec

from postroom.channels.webhooks.brokers.login import Login
from postroom.channels.webhooks.brokers.url import BrokerUrl
from postroom.outbox.model import Outcome


@dataclass(frozen=True, slots=True)
class Node:
    """One address that may be connected to. Only `address` is dialled; `host` is what its certificate names.

    `tls`: None where the scheme has none.
    """

    host: str
    address: str
    port: int
    tls: ssl.SSLContext | None


class BrokerMessage(msgspec.Struct, frozen=True, gc=False):  # made for each delivery
    """One delivery. `id` is the same on every attempt; `key` is what its order is kept by, and partitions.

    `attributes`: those of CloudEvents in binary mode, by their names without any prefix; each kind of broker
    prefixes them as its binding says. They are empty in the other formats.
    """

    id: str
    type: str
    key: str | None
    body: bytes
    headers: Mapping[str, str]
    attributes: Mapping[str, str]


class OpenFailed(Exception):
    """A node answered, and does not let this login in or is not what was expected. `code` is kept."""

    def __init__(self, reason: str, code: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Transport(Protocol):
    """One connection to one broker; used by several messages at once, and never opened twice.

    The caller limits the time of `open` and of answers by cancelling them, opens under a lock, and makes
    another one where `is_open` turned false or an answer was `Unknown` or cancelled. So an adapter turns off
    what its library does to come back by itself, and follows no address that a server names unless it was
    checked.
    """

    port: ClassVar[int]
    """Where a url names none."""
    options: ClassVar[frozenset[str]]
    """What its urls may have behind the `?`, besides `format`."""

    def __init__(self, url: BrokerUrl, login: Login | None) -> None: ...

    @classmethod
    def check(cls, url: BrokerUrl) -> None:
        """Refuse a path or an option that could never work. Errors: `InvalidPayload` for field `url`."""
        ...

    @property
    def is_open(self) -> bool: ...

    async def open(self, node: Node) -> None:
        """Connect and log in. Errors: `OpenFailed`, `OSError`, `TimeoutError`; nothing was sent then."""
        ...

    async def begin(self, message: BrokerMessage) -> asyncio.Future[Outcome]:
        """Hand over. Returns: what it ends as, once the broker has stored it durably or has not.

        `Delivered` once it is acknowledged; `RetryLater` where the broker said no and may say yes later, with
        `Trip.NO` where that says nothing of its health; `Rejected` where it never will (too large); `Unknown`
        where the connection ended before the answer. It never raises for what it foresees.
        """
        ...

    async def close(self) -> None:
        """Let the connection go, whatever state it is in. It never raises."""
        ...


def ended(outcome: Outcome) -> asyncio.Future[Outcome]:
    """What ended before it could be handed over."""
    answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    answer.set_result(outcome)
    return answer
