"""What an operator does to a channel."""

from __future__ import annotations

from typing import Final

from postroom.admin.audit import Actor, record
from postroom.base.db import Connection
from postroom.base.errors import NotFound
from postroom.outbox.model import Channel
from postroom.outbox.pauses import mark_paused, mark_resumed

REASON_LENGTH_MAX: Final = 500


async def pause(conn: Connection, channel: str, *, reason: str = "", actor: Actor) -> None:
    """Claim nothing more of a channel until it is resumed, in every runner within a second of the commit.

    What waits keeps its attempts; publishing goes on; what is at the receiver already ends. A channel that
    is paused keeps its first reason. Errors: `NotFound` naming the channels. Transaction: the caller's.
    """
    check_name(channel)
    reason = reason[:REASON_LENGTH_MAX] or f"paused by {actor.name}"
    old = await mark_paused(conn, channel=channel, reason=reason, paused_by=actor.name)
    await record(conn, actor, "channel.pause", channel, reason=reason, old=old)


async def resume(conn: Connection, channel: str, *, actor: Actor) -> None:
    """Let a channel go on, the oldest first.

    Errors: `NotFound` naming the channels. Transaction: the caller's.
    """
    check_name(channel)
    old = await mark_resumed(conn, channel=channel)
    await record(conn, actor, "channel.resume", channel, old=old)


def check_name(channel: str) -> None:
    """Errors: `NotFound` naming the channels."""
    if channel not in list(Channel):
        raise NotFound(f"no channel is called {channel[:50]!r}; known: {', '.join(Channel)}")
