"""An event as a message of the ledger."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from postroom.base.slots import slot_of
from postroom.channels.stripe.event import Event
from postroom.outbox.lanes import Urgency
from postroom.outbox.model import Channel, Message

_AFTER: Final = ":after:"
_MIRRORED: Final = ":mirrored"


class PlacedMessage(Message, frozen=True, kw_only=True):
    """An event of an account that several ledgers share: all refuse it but the one that has the tenant.

    `slot`: that of the tenant. A message without one is refused only where its tenant has left.
    """

    slot: int


def placed(message: Message, owner: str) -> PlacedMessage:
    """The message of an event with this owner."""
    fields = {**msgspec.structs.asdict(message), "tenant": owner}
    return PlacedMessage(**fields, slot=slot_of(owner))


def key_after(event: Event, message_id: UUID) -> str:
    """The key of an event that is processed again, after it went through the ledger as this message."""
    return f"{event.key}{_AFTER}{message_id}"


def is_again(key: str | None) -> bool:
    """Whether the message with this key is an event that is processed again."""
    return key is not None and _AFTER in key


def is_mirrored_only(key: str | None) -> bool:
    """Whether the message with this key is an event that causes nothing, as far as it went in by this one."""
    return key is not None and key.endswith(_MIRRORED)


def mirror_message(event: Event) -> Message:
    """An event that only fills the mirror: its own key stays free for the one that causes something."""
    return msgspec.structs.replace(message_of(event, key=f"{event.key}{_MIRRORED}"), urgency=Urgency.BULK)


def message_of(
    event: Event,
    *,
    key: str | None = None,
    tenant: str | None = None,
    correlation_id: str | None = None,
    traceparent: str | None = None,
) -> Message:
    """Deduplicated by account and id unless it is given another `key`, and in order for each object.

    `tenant`: unless it is the customer, else the connected account.
    """
    return Message(
        channel=Channel.STRIPE,
        type=event.type,
        key=key or event.key,
        tenant=tenant or event.customer or event.account,
        ordering_key=f"{event.account_key}:{event.object_id}" if event.object_id else None,
        payload=event.body,
        correlation_id=correlation_id,
        traceparent=traceparent,
    )
