"""Sending again what was delivered: it becomes a dead letter, and the one replay there is revives it."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from postroom.base.db import Connection, query
from postroom.base.errors import Conflict, NotFound
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import REPLAYED_MAX, replay_dead_letters
from postroom.outbox.model import Channel

_LOCK = query(__package__, "lock_message")
_BURY = query(__package__, "bury_delivered")

RESENT: Final = "resent"
"""The fingerprint of what is dead only to be replayed."""
RESENDABLE: Final = (Channel.EMAIL, Channel.WEBHOOK)


async def resend(
    conn: Connection, message_id: UUID, *, endpoint_id: UUID | None = None, actor: str, fresh: bool = False
) -> int:
    """Send a message again to everybody who has it, or to one endpoint of them, under the same id.

    A receiver that deduplicates on the id takes it for the one it has. What an older version delivered to an
    endpoint or a url is left alone: it did not write down where. `fresh` as in `replay_dead_letters`.
    Returns: how many deliveries, at least 1. Errors: `NotFound`; `Conflict` where nothing can be sent again.
    Transaction: the caller's; two at once follow each other.
    """
    row = await conn.fetchrow(_LOCK, message_id)
    if row is None:
        raise NotFound(f"there is no message {message_id}")
    if row["channel"] not in RESENDABLE:
        raise Conflict(f"only {' and '.join(RESENDABLE)} messages can be sent again")
    if row["emptied"]:
        raise Conflict("its payload was emptied by retention or an erasure")
    reason = f"it was delivered, and {actor} wants it sent again"
    if not await conn.fetchval(_BURY, message_id, row["created_at"], endpoint_id, RESENT, reason):
        raise Conflict("nobody who can be named has it, or it is on its way to them or dead already")
    wanted = DeadLetterFilter(message_ids=(message_id,), fingerprint=RESENT)
    return (await replay_dead_letters(conn, wanted, actor=actor, limit=REPLAYED_MAX, fresh=fresh)).count
