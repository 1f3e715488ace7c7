"""What an operator does to the list of who has unsubscribed. The trail keeps addresses masked."""

from __future__ import annotations

from postroom.admin.audit import Actor, record
from postroom.base.db import Connection
from postroom.channels.email import unsubscribes
from postroom.channels.email.address import mask


async def add(conn: Connection, *, address: str, tenant: str, category: str, actor: Actor) -> str:
    """See `unsubscribes.unsubscribe`: for whoever asked by other ways than the link. Returns: the address."""
    kept, is_new = await unsubscribes.unsubscribe(conn, address=address, tenant=tenant, category=category)
    if is_new:
        await record(conn, actor, "unsubscribe.add", mask(kept), tenant=tenant, category=category)
    return kept


async def remove(conn: Connection, *, address: str, tenant: str, category: str, actor: Actor) -> str:
    """See `unsubscribes.resubscribe`. Returns: the address as it was kept."""
    kept = await unsubscribes.resubscribe(conn, address=address, tenant=tenant, category=category)
    await record(conn, actor, "unsubscribe.remove", mask(kept), tenant=tenant, category=category)
    return kept
