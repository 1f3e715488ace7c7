"""What an operator does to the list of addresses that are never mailed. The trail keeps them masked."""

from __future__ import annotations

from postroom.admin.audit import Actor, record
from postroom.base.db import Connection
from postroom.channels.email import suppressions
from postroom.channels.email.address import mask
from postroom.channels.email.suppressions import Suppression


async def add(conn: Connection, *, address: str, reason: str, actor: Actor) -> Suppression:
    """See `suppressions.suppress`."""
    made = await suppressions.suppress(conn, address=address, reason=reason)
    await record(conn, actor, "suppression.add", mask(made.address))
    return made


async def remove(conn: Connection, *, address: str, actor: Actor) -> str:
    """See `suppressions.release`. Returns: the address as it was kept."""
    released = await suppressions.release(conn, address=address)
    await record(conn, actor, "suppression.remove", mask(released))
    return released
