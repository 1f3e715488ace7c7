"""What a handler is given: the transaction that settles its event, and a way to publish in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from postroom.base.db import Connection
from postroom.base.errors import InvalidInput
from postroom.channels.stripe.earlier import HANDLER, NOTHING_EARLIER, Earlier
from postroom.channels.stripe.event import Event
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.lanes import Urgency
from postroom.outbox.model import OUTBOUND, Channel, Message
from postroom.outbox.publish import publish

KEY_NAME_MAX: Final = 100


def key_prefix(event: Event) -> str:
    """What the keys of all messages start with that an event causes."""
    return f"stripe:{event.key}:"


@dataclass(frozen=True, slots=True)
class Origin:
    """The message that everything an event causes is traced to, and the keys that encrypt its payloads.

    `now`: when it is processed. `earlier`: what the event caused when it was processed before.
    """

    correlation_id: str
    traceparent: str | None
    now: datetime
    keyring: Keyring = NO_KEYS
    earlier: Earlier = NOTHING_EARLIER


class Transaction:
    """What a handler is given."""

    def __init__(self, conn: Connection, event: Event, origin: Origin, handler: str) -> None:
        self._conn = conn
        self.event = event
        self._origin = origin
        self._handler = handler
        self._count = 0

    @property
    def conn(self) -> Connection:
        """The connection of the transaction that settles the event."""
        return self._conn

    @property
    def lost(self) -> bool:
        """Whether the database went away."""
        return self._conn.is_closed()

    async def publish(
        self,
        *,
        channel: str,
        payload: dict[str, Any],
        key: str | None = None,
        tenant: str | None = None,
        type: str | None = None,
        ordering_key: str | None = None,
        deliver_at: datetime | None = None,
        expires_at: datetime | None = None,
        urgency: Urgency | str | None = None,
    ) -> UUID:
        """Publish one message with this event. Returns its id, the first one's when it is known.

        `key`: a name within this event and handler; without it messages are numbered in the order
        of the calls, so give one where that order may change.
        """
        self._count += 1
        name = key or str(self._count)
        if len(name) > KEY_NAME_MAX:
            raise InvalidInput(f"key is longer than {KEY_NAME_MAX} characters", field="key")
        if channel not in OUTBOUND:
            raise InvalidInput(f"channel is one of {', '.join(OUTBOUND)}", field="channel")
        name = f"{HANDLER}{self._handler}:{name}"
        self._origin.earlier.check(channel, name)
        message = Message(
            channel=Channel(channel),
            payload=payload,
            key=f"{key_prefix(self.event)}{name}",
            tenant=tenant,
            type=type,
            ordering_key=ordering_key,
            deliver_at=deliver_at,
            expires_at=expires_at,
            urgency=None if urgency is None else Urgency(urgency),
            correlation_id=self._origin.correlation_id,
            traceparent=self._origin.traceparent,
        )
        return await self._publish(message)

    async def _publish(self, message: Message) -> UUID:
        return (await publish(self._conn, message, keyring=self._origin.keyring)).id
