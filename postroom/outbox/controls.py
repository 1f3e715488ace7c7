"""What operators have said of the channels, as the relays of one process ask before each claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from postroom.base.cached import Cached
from postroom.base.clock import Clock
from postroom.base.db import Connection, Pool, query
from postroom.outbox.limits import Limit

_LIST = query(__package__, "list_controls")

REFRESH_S: Final = 1.0


@dataclass(slots=True)
class _Said:
    paused: set[str] = field(default_factory=set)
    limits: dict[str, list[Limit]] = field(default_factory=dict)


class Controls:
    """Which channels are paused, and the limits.

    Promise: what is said holds `REFRESH_S` after its commit at the latest, and so does its end. Costs one
    query a second for all channels. Does not promise: what is at the receiver by then is not called back.
    """

    def __init__(self, *, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._cached: Cached[_Said] = Cached(self._read, ttl_s=REFRESH_S, clock=clock)

    async def paused(self, channel: str) -> bool:
        """Errors: those of the database."""
        return channel in (await self._cached.get()).paused

    async def limits(self, channel: str) -> Sequence[Limit]:
        """Errors: those of the database."""
        return (await self._cached.get()).limits.get(channel, ())

    async def _read(self) -> _Said:
        async with self._pool.acquire() as conn:
            return await _read(conn)


async def _read(conn: Connection) -> _Said:
    said = _Said()
    for row in await conn.fetch(_LIST):
        channel = row["channel"]
        if row["id"] is None:
            said.paused.add(channel)
            continue
        limit = Limit(row["id"], row["tenant"], row["destination"], row["per_second"], row["in_flight"])
        said.limits.setdefault(channel, []).append(limit)
    return said
