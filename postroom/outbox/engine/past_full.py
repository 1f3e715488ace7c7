"""Claims for destinations with room, however much is due to full ones, or for some tenants, before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from postroom.base.clock import Clock
from postroom.base.db import Connection
from postroom.outbox import store
from postroom.outbox.cursor import START, Cursor
from postroom.outbox.lanes import NORMAL, Lane
from postroom.outbox.model import Claim
from postroom.worker.heartbeat import Worker

SCAN_MAX: Final = 1_000
"""How many due deliveries of each kind the usual scan reads."""
LONG_SCAN_MAX: Final = 5_000
LONG_SCANS_MAX: Final = 10
LONG_SCANS_S: Final = 0.2
"""How far, how often and how long one claim scans on where full destinations fill the usual scan."""
PAUSE_MIN_S: Final = 0.05
PAUSE_MAX_S: Final = 1.0
PAUSE_SCANS: Final = 4
"""An empty scan is followed by a pause of so many times what it took."""


class Places(NamedTuple):
    """How many deliveries a claim may take, of each kind."""

    first_max: int
    retry_max: int


class PastFullScan:
    """Scans past what is due to full destinations.

    Promise: a backlog of full destinations, and what was claimed beside it, is read once, and then only what
    comes after it: the next scan goes on where the last one ended, as long as whatever that passed by is
    still full. Where nothing is found there, it looks at the beginning, for a transaction may have committed
    late. Does not promise: what appears deep within the backlog; that is found after `restart`.
    """

    def __init__(
        self,
        *,
        channel: str,
        worker: Worker,
        clock: Clock,
        lane: Lane = NORMAL,
        tenants: Sequence[str] = (),
    ) -> None:
        """`tenants`: what is due for these is passed by, too."""
        self._tenants = tenants
        self._lane = lane
        self._channel = channel
        self._worker = worker
        self._clock = clock
        self._scanned_to = START
        self._passed_by: frozenset[str] = frozenset()

    def restart(self) -> None:
        self._scanned_to = START

    async def claim(
        self, conn: Connection, places: Places, *, full: Sequence[str], cursor: Cursor
    ) -> list[Claim]:
        """Lease what is due from `cursor` on to destinations that are not `full`."""
        if not self._passed_by.issubset(full):
            self._scanned_to = START
        self._passed_by = frozenset(full)
        onward = cursor.advanced_to(self._scanned_to)
        claims = await self._scan(conn, places, full, onward, SCAN_MAX)
        if claims:
            self._scanned_to = onward.after(claims)
        elif onward != cursor:
            claims = await self._scan(conn, places, full, cursor, SCAN_MAX)
        return claims or await self._scan_on(conn, places, full, onward)

    async def _scan_on(
        self, conn: Connection, places: Places, full: Sequence[str], cursor: Cursor
    ) -> list[Claim]:
        claims: list[Claim] = []
        began_at = self._clock.monotonic()
        for _ in range(LONG_SCANS_MAX):
            end, more = await store.fetch_scan_end(
                conn, channel=self._channel, lane=self._lane, cursor=cursor, scan_max=LONG_SCAN_MAX
            )
            claims = await self._scan(conn, places, full, cursor, LONG_SCAN_MAX)
            if claims:
                break
            cursor = end
            if not more or self._clock.monotonic() - began_at > LONG_SCANS_S:
                break
        self._scanned_to = cursor.after(claims)
        return claims

    async def _scan(
        self, conn: Connection, places: Places, full: Sequence[str], cursor: Cursor, scan_max: int
    ) -> list[Claim]:
        return await store.claim_around(
            conn,
            channel=self._channel,
            worker=self._worker.id,
            first_max=places.first_max,
            retry_max=places.retry_max,
            cursor=cursor,
            full=full,
            scan_max=scan_max,
            lane=self._lane,
            tenants=self._tenants,
        )


class EmptyScanPause:
    """A pause after a scan that found work for full destinations only, while those stay full."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._full: frozenset[str] = frozenset()
        self._until = float("-inf")

    def holds(self, full: Sequence[str]) -> bool:
        """Whether scanning with these destinations full is not worth a query yet."""
        return self._clock.monotonic() < self._until and self._full.issubset(full)

    def begin(self, full: Sequence[str], *, scan_s: float) -> None:
        """An empty scan ended now, which took so long."""
        pause_s = min(PAUSE_MAX_S, max(PAUSE_MIN_S, PAUSE_SCANS * scan_s))
        self._full, self._until = frozenset(full), self._clock.monotonic() + pause_s
