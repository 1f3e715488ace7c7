"""An event as a message of the ledger."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from postroom.channels.stripe.event import Event
from postroom.outbox.model import Channel, Message

_AFTER: Final = ":after:"


def key_after(event: Event, message_id: UUID) -> str:
    """The key of an event that is processed again, after it went through the ledger as this message."""
    return f"{event.key}{_AFTER}{message_id}"


def is_again(key: str | None) -> bool:
    """Whether the message with this key is an event that is processed again."""
    return key is not None and _AFTER in key


def message_of(
    event: Event,
    *,
    key: str | None = None,
    correlation_id: str | None = None,
    traceparent: str | None = None,
) -> Message:
    """Deduplicated by account and id unless it is given another `key`, and in order for each object."""
    return Message(
        channel=Channel.STRIPE,
        type=event.type,
        key=key or event.key,
        tenant=event.customer or event.account,
        ordering_key=f"{event.account_key}:{event.object_id}" if event.object_id else None,
        payload=event.body,
        correlation_id=correlation_id,
        traceparent=traceparent,
    )
