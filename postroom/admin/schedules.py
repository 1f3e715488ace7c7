"""What an operator does to a schedule of tasks."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from postroom.admin.audit import Actor, record
from postroom.admin.channels import REASON_LENGTH_MAX
from postroom.base.db import Connection
from postroom.channels.tasks.schedules import Planned, check_known, mark_paused, mark_resumed
from postroom.encryption.keyring import Keyring
from postroom.outbox.publish import publish_many


async def pause(
    conn: Connection, planned: dict[str, Planned], name: str, *, reason: str = "", actor: Actor
) -> None:
    """Publish none of its times until it is resumed; what is published already runs.

    Also one that is in the ledger alone: its code is elsewhere, or gone. Transaction: the caller's.
    Errors: `NotFound` naming the schedules.
    """
    await check_known(conn, planned, name)
    reason = reason[:REASON_LENGTH_MAX] or f"paused by {actor.name}"
    old = await mark_paused(conn, name, reason=reason, paused_by=actor.name)
    await record(conn, actor, "schedule.pause", name, reason=reason, old=old)


async def resume(conn: Connection, planned: dict[str, Planned], name: str, *, actor: Actor) -> None:
    """Go on with its next time; those of the pause are left out. As `pause`."""
    await check_known(conn, planned, name)
    await record(conn, actor, "schedule.resume", name, old=await mark_resumed(conn, name))


async def run(conn: Connection, planned: Planned, *, now: datetime, keyring: Keyring, actor: Actor) -> UUID:
    """Publish its task once, now; its times stay as they are. Returns the message's id.

    Transaction: the caller's.
    """
    [published] = await publish_many(conn, [planned.message(now)], keyring=keyring)
    await record(conn, actor, "schedule.run", planned.schedule.name, message_id=str(published.id))
    return published.id
