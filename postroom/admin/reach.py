"""Whether what a request names is within what its caller reaches. Beyond that, nothing exists for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias
from uuid import UUID

from postroom.admin.audit import Actor
from postroom.base.db import Connection, query
from postroom.base.errors import NotAllowed, NotFound
from postroom.channels.webhooks.endpoints import fetch_endpoint
from postroom.outbox.ledger.replay_runs import fetch_run
from postroom.outbox.model import Channel
from postroom.outbox.reach import Reach

_PLACE: Final = query(__package__, "fetch_message_place")

Check: TypeAlias = Callable[[Connection, UUID, Reach], Awaitable[None]]


async def check_message(conn: Connection, message_id: UUID, reach: Reach) -> None:
    """Errors: `NotFound`."""
    row = await conn.fetchrow(_PLACE, message_id)
    if row is None or not reach.covers(tenant=row["tenant"], channel=row["channel"]):
        raise NotFound("there is no message with this id, or retention has removed it")


async def check_endpoint(conn: Connection, endpoint_id: UUID, reach: Reach) -> None:
    """Errors: `NotFound`."""
    endpoint = await fetch_endpoint(conn, endpoint_id)
    if not reach.covers(tenant=endpoint.tenant, channel=Channel.WEBHOOK):
        raise NotFound("there is no such endpoint", field="endpoint_id")


async def check_run(conn: Connection, run_id: UUID, reach: Reach) -> None:
    """Errors: `NotFound`."""
    progress = await fetch_run(conn, run_id)
    if not progress.run.reach.within(reach):
        raise NotFound("there is no replay with this id, or it was forgotten after 30 days")


def check_covered(actor: Actor, *, tenant: str, channel: str) -> None:
    """Errors: `NotAllowed` for what the actor would make beyond their reach."""
    if not actor.reach.covers(tenant=tenant, channel=channel):
        whose = f"the tenant {tenant!r}" if tenant else "no tenant"
        raise NotAllowed(f"{actor.name} does not reach {whose} on the channel {channel}")
