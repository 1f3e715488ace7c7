"""Channels that a person has paused: nothing of them is claimed until they are resumed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from postroom.base.cached import Cached
from postroom.base.clock import Clock
from postroom.base.db import Connection, Pool, query
from postroom.outbox.model import Channel

_PAUSE = query(__package__, "pause_channel")
_RESUME = query(__package__, "resume_channel")
_LIST = query(__package__, "list_pauses")

REFRESH_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """One channel; the last three only while it is paused."""

    channel: str
    paused: bool
    reason: str | None = None
    paused_by: str | None = None
    paused_at: datetime | None = None


class Pauses:
    """What is paused, as the relays of one process ask before each claim.

    Promise: a pause holds `REFRESH_S` after its commit at the latest, and so does its end. Costs one query
    a second for all channels together. Does not promise: what is at the receiver by then is not called back.
    """

    def __init__(self, *, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._cached: Cached[frozenset[str]] = Cached(self._read, ttl_s=REFRESH_S, clock=clock)

    async def hold(self, channel: str) -> bool:
        """Errors: those of the database."""
        return channel in await self._cached.get()

    async def _read(self) -> frozenset[str]:
        async with self._pool.acquire() as conn:
            return frozenset(each.channel for each in await list_channels(conn) if each.paused)


async def mark_paused(conn: Connection, *, channel: str, reason: str, paused_by: str) -> None:
    """Pause a channel; one that is paused already stays as it is."""
    await conn.execute(_PAUSE, channel, reason, paused_by)


async def mark_resumed(conn: Connection, *, channel: str) -> None:
    """End the pause, if there is one."""
    await conn.execute(_RESUME, channel)


async def list_channels(conn: Connection, *, timeout_s: float | None = None) -> list[ChannelStatus]:
    """Every channel, and why it is paused, if it is."""
    paused = {
        row["channel"]: ChannelStatus(row["channel"], True, row["reason"], row["paused_by"], row["paused_at"])
        for row in await conn.fetch(_LIST, timeout=timeout_s)
    }
    return [paused.get(channel, ChannelStatus(channel, False)) for channel in map(str, Channel)]
