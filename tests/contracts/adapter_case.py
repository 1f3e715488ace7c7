"""What one adapter is tried with: a real receiving end that a test can break and mend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from postroom.base.db import Pool, transaction
from postroom.outbox.model import Adapter, Cause, Channel, Message
from postroom.outbox.publish import publish


class Trouble(StrEnum):
    """What is wrong at the receiving end."""

    PASSING = "passing"  # it refuses for now
    FINAL = "final"  # it refuses until somebody mends something
    LOST_ANSWER = "lost_answer"  # it takes the message, and its answer is lost
    SILENT = "silent"  # it never answers


@dataclass(frozen=True, slots=True)
class Expected:
    """How one attempt under a trouble ends, and the dead letter's cause once no attempt is left."""

    outcome: str
    code: str | None
    cause: Cause


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as the receiving end has it. `id` is what a receiver deduplicates on."""

    id: str
    text: str


class AdapterCase(ABC):
    """One adapter and its receiving end.

    `expected` holds every trouble that it can have; `rejected_payload` are payloads that nobody could ever
    send, each with the field to blame.
    """

    channel: ClassVar[Channel]
    expected: ClassVar[dict[Trouble, Expected]]
    rejected_payload: ClassVar[Sequence[tuple[Any, str]]]
    adapter: Adapter

    @abstractmethod
    def make_adapter(self) -> Adapter:
        """A new adapter with the same settings, as after a restart."""

    @abstractmethod
    def payload(self, text: str) -> dict[str, Any]: ...

    @abstractmethod
    async def arrivals(self) -> list[Arrival]:
        """Everything that came in, repeats included."""

    @abstractmethod
    def break_with(self, trouble: Trouble) -> None: ...

    @abstractmethod
    def mend(self) -> None: ...

    @abstractmethod
    async def open(self) -> None:
        """Open the receiving end, and set `adapter`, not yet started."""

    @abstractmethod
    async def close(self) -> None:
        """Close the receiving end."""

    async def publish(self, pool: Pool, text: str) -> UUID:
        async with transaction(pool) as conn:
            return (await publish(conn, Message(channel=self.channel, payload=self.payload(text)))).id
