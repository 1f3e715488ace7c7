"""What an operator does to one message."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from postroom.admin.audit import Actor, record
from postroom.admin.scopes import Scope
from postroom.base.db import Connection
from postroom.base.errors import Conflict, NotAllowed
from postroom.encryption.keyring import Keyring
from postroom.outbox import store
from postroom.outbox.ledger.story import MessageStory, fetch_message


async def cancel(conn: Connection, message_id: UUID, *, actor: Actor) -> int:
    """Cancel what has not been sent; what is under way right now is left alone. Returns: how many deliveries.

    Errors: `NotFound`; `Conflict` when nothing of it waits. Transaction: the caller's.
    """
    count = await store.cancel_message(conn, message_id=message_id)
    if count == 0:
        await fetch_message(conn, message_id)
        raise Conflict("nothing of this message waits: it has ended or is being sent right now")
    await record(conn, actor, "outbox.cancel", message_id, deliveries=count)
    return count


async def deliver_now(conn: Connection, message_id: UUID, *, actor: Actor) -> int:
    """Make due now what waits for its time or its next try. Returns: how many deliveries.

    Does not promise: a parked delivery stays parked, and an open breaker still stops it.
    Errors: `NotFound`; `Conflict` when nothing of it waits. Transaction: the caller's.
    """
    count = await store.mark_due_now(conn, message_id=message_id)
    if count == 0:
        await fetch_message(conn, message_id)
        raise Conflict("nothing of this message waits for its time")
    await record(conn, actor, "outbox.deliver_now", message_id, deliveries=count)
    return count


async def show_payload(
    conn: Connection,
    message_id: UUID,
    *,
    keyring: Keyring,
    how: Literal["reveal", "preview"],
    actor: Actor,
) -> MessageStory:
    """The message with its payload, for somebody who asked to see it; the trail says who looked.

    Errors: `NotFound`; `NotAllowed` without the scope `payload:read`. Transaction: the caller's.
    """
    if Scope.PAYLOAD_READ not in actor.scopes:
        raise NotAllowed(f"{actor.name} lacks the scope {Scope.PAYLOAD_READ}")
    story = await fetch_message(conn, message_id, keyring=keyring, reach=actor.reach)
    await record(conn, actor, f"message.{how}", message_id)
    return story
