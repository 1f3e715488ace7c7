"""What one kind of broker is tried with: a real one, as processes of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self


@dataclass(frozen=True, slots=True)
class Got:
    """One message as a consumer reads it. `headers` by their names in small letters."""

    body: bytes
    headers: dict[str, str]


class BrokerCase(ABC):
    """One kind of broker, started once for all its tests.

    `bad_urls`: what follows the nodes in urls that must be refused before anything is sent. `refused`: what
    follows them in those that the broker itself refuses, each with the code of that answer. `large_bytes`:
    more than the broker takes, or None where there is no such size. `deaf_from`: what a client says when it
    sends: from then on all answers are lost. `keeps_repeats`: what a client sends again by itself, because an
    answer was late, is there twice.
    """

    scheme: ClassVar[str]
    bad_urls: ClassVar[Sequence[str]]
    refused: ClassVar[Sequence[tuple[str, str]]]
    large_bytes: ClassVar[int | None]
    deaf_from: ClassVar[bytes]
    attribute_prefix: ClassVar[str]
    can_fill: ClassVar[bool] = False
    keeps_repeats: ClassVar[bool] = False

    @classmethod
    @contextmanager
    @abstractmethod
    def run(cls, folder: Path) -> Iterator[Self]:
        """The running broker."""

    @property
    @abstractmethod
    def login(self) -> str:
        """What the secret of an endpoint says."""

    @property
    @abstractmethod
    def good(self) -> str:
        """What follows the nodes in a url that works."""

    @property
    @abstractmethod
    def ports(self) -> list[int]:
        """Of its nodes; those of one node may be followed by the port where it comes back."""

    @abstractmethod
    async def prepare(self) -> None:
        """Make the place of `good` anew, empty."""

    @abstractmethod
    async def read(self) -> list[Got]:
        """All that is there, in its order."""

    @abstractmethod
    def kill_first(self) -> None:
        """End the node at the first port at once; another one is there, or comes up, at the next port."""

    @abstractmethod
    def restore(self) -> None:
        """Bring back what `kill_first` ended."""

    def fill(self) -> None:
        """Its disk is full from now on; only where `can_fill`."""
        raise NotImplementedError

    def empty(self) -> None:
        """There is room again."""
        raise NotImplementedError

    def stand_behind(self, port: int | None) -> None:  # noqa: B027
        """Clients are to find the first node at this port, or at its own again. Kafka tells them which."""

    def url(self, *ports: int, place: str | None = None) -> str:
        nodes = ",".join(f"127.0.0.1:{port}" for port in ports or self.ports[:1])
        return f"{self.scheme}://{nodes}{self.good if place is None else place}"
