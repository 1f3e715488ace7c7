"""Channels that a person has paused: nothing of them is claimed until they are resumed (`controls.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from postroom.base.db import Connection, query
from postroom.outbox.model import Channel

_PAUSE = query(__package__, "pause_channel")
_RESUME = query(__package__, "resume_channel")
_LIST = query(__package__, "list_pauses")


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """One channel; the last three only while it is paused."""

    channel: str
    paused: bool
    reason: str | None = None
    paused_by: str | None = None
    paused_at: datetime | None = None


async def mark_paused(
    conn: Connection, *, channel: str, reason: str, paused_by: str
) -> dict[str, Any] | None:
    """Pause a channel; one that is paused already stays as it is. Returns: the pause that was there."""
    old = await conn.fetchrow(_PAUSE, channel, reason, paused_by)
    return None if old is None else dict(old)


async def mark_resumed(conn: Connection, *, channel: str) -> dict[str, Any] | None:
    """End the pause, if there is one. Returns: what it was."""
    old = await conn.fetchrow(_RESUME, channel)
    return None if old is None else dict(old)


async def list_channels(conn: Connection, *, timeout_s: float | None = None) -> list[ChannelStatus]:
    """Every channel, and why it is paused, if it is."""
    paused = {
        row["channel"]: ChannelStatus(row["channel"], True, row["reason"], row["paused_by"], row["paused_at"])
        for row in await conn.fetch(_LIST, timeout=timeout_s)
    }
    return [paused.get(channel, ChannelStatus(channel, False)) for channel in map(str, Channel)]
