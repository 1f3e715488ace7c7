"""What a test sees of the ledger."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

import msgspec

from postroom.client.task import BatchCounts

PAYLOAD_SHOWN: Final = 200
Delivery: TypeAlias = tuple[UUID, int]
"""The id of a message, and which of its deliveries."""


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A message. `payload` is what the application gave."""

    message_id: UUID
    channel: str
    payload: dict[str, Any]
    type: str = ""
    tenant: str = ""
    key: str | None = None
    correlation_id: str = ""
    ordering_key: str | None = None

    def matches(self, wanted: dict[str, Any]) -> bool:
        """Whether it has these fields; of a payload, those that are named."""
        return all(
            value.items() <= self.payload.items() if name == "payload" else getattr(self, name) == value
            for name, value in wanted.items()
        )

    def __str__(self) -> str:
        named = {"type": self.type, "tenant": self.tenant, "key": self.key}
        told = " ".join(f"{name}={value!r}" for name, value in named.items() if value)
        return f"{self.channel} {told} {msgspec.json.encode(self.payload).decode()[:PAYLOAD_SHOWN]}"


class Sent(Published, frozen=True, kw_only=True):
    """What would be sent, or was: a message and where it goes. An endpoint of a webhook has an id.

    `batch`: how the batch has ended that it follows; None where it follows none.
    """

    destination: str
    endpoint_id: UUID | None = None
    n: int
    seq: int
    due_s: float
    created_s: float
    batch: BatchCounts | None = None


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is due, or that waits for its batch: `sent.batch` is what the ledger has counted of
    that, `members` those that it has not, each with whether it has expired."""

    sent: Sent
    in_batch: bool
    follows_on: Literal["end", "success"] | None
    members: list[tuple[UUID, int, bool]]

    @property
    def delivery(self) -> Delivery:
        return self.sent.message_id, self.sent.n

    def after(self, drained: Set[Delivery], rejected: Set[Delivery]) -> Due | None:
        """As it is once these have ended, too; None where it still waits, or is cancelled by then. It is
        decided as the SQL function `end_in_batch` does, which would write it down."""
        if self.sent.batch is None:
            return self
        delivered = sum((message_id, n) in drained for message_id, n, _ in self.members)
        dead = sum(
            (message_id, n) in rejected or (expired and (message_id, n) not in drained)
            for message_id, n, expired in self.members
        )
        counted = self.sent.batch
        ended = replace(counted, delivered=counted.delivered + delivered, dead=counted.dead + dead)
        waits = ended.delivered + ended.dead + ended.cancelled < ended.size
        if waits or (self.follows_on == "success" and ended.delivered < ended.size):
            return None
        return msgspec.structs.replace(self, sent=msgspec.structs.replace(self.sent, batch=ended))
