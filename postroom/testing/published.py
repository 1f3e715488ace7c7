"""What a test sees of the ledger."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import msgspec

PAYLOAD_SHOWN: Final = 200


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
    """What would be sent, or was: a message and where it goes. An endpoint of a webhook has an id."""

    destination: str
    endpoint_id: UUID | None = None
    n: int
    seq: int
    due_s: float
    created_s: float
