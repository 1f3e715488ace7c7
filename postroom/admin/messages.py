"""What an operator does to one message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from postroom.admin.audit import Actor, record
from postroom.admin.scopes import Scope
from postroom.base.db import Connection
from postroom.base.errors import Conflict, NotAllowed
from postroom.encryption.keyring import Keyring
from postroom.outbox import store
from postroom.outbox.ledger.story import MessageStory, fetch_message


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`cancelled`: deliveries that are never made. `asked`: its task runs, and has been asked to end."""

    cancelled: int
    asked: bool = False

    @property
    def sentence(self) -> str:
        if self.asked:
            return "Its task runs: it is told within two seconds, and has five more to end."
        return f"Cancelled: {self.cancelled}."


async def cancel(conn: Connection, message_id: UUID, *, actor: Actor) -> Cancelled:
    """Cancel what has not been sent. A task that runs is asked to end; else what is under way is left alone.

    Does not promise: that a task ends as cancelled; it may have ended before it was told.
    Errors: `NotFound`; `Conflict` when nothing of it waits or is a task. Transaction: the caller's.
    """
    count = await store.cancel_message(conn, message_id=message_id)
    asked = count == 0 and bool(await store.ask_to_cancel(conn, message_id=message_id, by=actor.name))
    if not count and not asked:
        await fetch_message(conn, message_id)
        raise Conflict("nothing of this message waits: it has ended or is being sent right now")
    await record(
        conn, actor, "outbox.cancel", message_id, deliveries=count, **({"asked": 1} if asked else {})
    )
    return Cancelled(count, asked)


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
