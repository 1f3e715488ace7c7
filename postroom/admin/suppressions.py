"""What an operator does to the list of addresses that are never mailed. The trail keeps them masked."""

from __future__ import annotations

from postroom.admin.audit import Actor, record
from postroom.base.db import Connection
from postroom.channels.email import suppressions
from postroom.channels.email.address import mask
from postroom.channels.email.suppressions import Suppression


async def add(conn: Connection, *, address: str, reason: str, actor: Actor) -> Suppression:
    """See `suppressions.suppress`."""
    made, old_reason = await suppressions.suppress(conn, address=address, reason=reason)
    old = None if old_reason is None else {"reason": old_reason}
    await record(conn, actor, "suppression.add", mask(made.address), reason=made.reason, old=old)
    return made


async def remove(conn: Connection, *, address: str, actor: Actor) -> str:
    """See `suppressions.release`. Returns: the address as it was kept."""
    released, reason = await suppressions.release(conn, address=address)
    await record(conn, actor, "suppression.remove", mask(released), old={"reason": reason})
    return released
