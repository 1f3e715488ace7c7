"""Claims for destinations with room, however much is due to full ones, or for some tenants, before it."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import Final, NamedTuple

from postroom.base.clock import Clock
from postroom.base.db import Connection
from postroom.outbox import store
from postroom.outbox.cursor import START, Cursor
from postroom.outbox.engine.around import Around, PassedBy
from postroom.outbox.engine.queue import Queue
from postroom.outbox.model import Claim

SCAN_MAX: Final = 1_000
"""How many due deliveries of each kind the usual scan reads."""
LONG_SCAN_MAX: Final = 5_000
LONG_SCANS_MAX: Final = 10
LONG_SCANS_S: Final = 0.2
"""How far, how often and how long one claim scans on where full destinations fill the usual scan. Once, where
there is one and it has room again by then; among several there is always one that has, and each time the scan
begins again."""
PAUSE_MIN_S: Final = 0.05
PAUSE_MAX_S: Final = 1.0
PAUSE_SCANS: Final = 4
"""An empty scan is followed by a pause of so many times what it took."""


class Places(NamedTuple):
    """How many deliveries a claim may take, of each kind."""

    first_max: int
    retry_max: int

    @classmethod
    def of(cls, wanted: int, *, retries_are_due: bool) -> Places:
        """Retries get half of the places while any are due, and otherwise one, so that the next is seen."""
        retry_max = max(1, wanted // 2) if retries_are_due else 1
        return cls(max(1, wanted - retry_max), retry_max)


class PastFullScan:
    """Scans past what is due to full destinations, and what limits have no room for.

    Promise: a backlog of full destinations, and what was claimed beside it, is read once, and then only what
    comes after it: the next scan goes on where the last one ended, as long as whatever that passed by is
    still full. Where nothing is found there, it looks at the beginning, for a transaction may have committed
    late. Does not promise: what appears deep within the backlog; that is found after `restart`.
    """

    def __init__(self, queue: Queue, *, tenants: Sequence[str] = ()) -> None:
        """`tenants`: what is due for these is passed by, too."""
        self._queue = queue
        self._tenants = tenants
        self._scanned_to = START
        self._at_end = False
        self._passed_by: frozenset[PassedBy] = frozenset()
        self._found_at: dict[PassedBy, Cursor] = {}
        self._turn = 0
        self._others_first = False
        self._named: dict[str, int] = {}

    def restart(self) -> None:
        self._scanned_to, self._at_end = START, False

    async def claim(self, conn: Connection, places: Places, around: Around, cursor: Cursor) -> list[Claim]:
        """Lease what is due from `cursor` on.

        Of what is `limited`, what there is room for is taken from where the last of it was found: room for a
        few of a long backlog does not make the scan of all others begin again before it. After such a claim
        the others come first, for many limits have room for a few at any time.
        """
        if not self._passed_by.issubset(around.passed_by):
            self.restart()
        self._passed_by = around.passed_by
        for name, count in around.named.items():
            if self._named.get(name) != count:
                self._named[name] = count
                self._found_at.setdefault((None, name), START)
        others_first = self._others_first
        claims = [] if others_first else await self._claim_limited(conn, places, around, cursor)
        self._others_first = bool(claims)
        claims = claims or await self._claim_onward(conn, places, around, cursor)
        for room in around.limited:
            if found := [claim for claim in claims if room.counts(claim)]:
                self._found_at[room[:2]] = START.after(found)
        return claims

    async def _claim_onward(
        self, conn: Connection, places: Places, around: Around, cursor: Cursor
    ) -> list[Claim]:
        """From where the last scan ended, then from the beginning; on from there where there is more."""
        onward = cursor.advanced_to(self._scanned_to)
        claims: list[Claim] = []
        if self._at_end:  # as nearly always beside one backlog: nothing has come since
            end, _ = await self._scan_end(conn, onward)
            self._at_end = end == onward
        if not self._at_end:
            claims = await self._scan(conn, places, around, onward, SCAN_MAX)
        if claims:
            self._scanned_to = onward.after(claims)
        elif onward != cursor:
            claims = await self._scan(conn, places, around, cursor, SCAN_MAX)
        if claims or self._at_end:
            return claims
        return await self._scan_on(conn, places, around, onward)

    async def _claim_limited(
        self, conn: Connection, places: Places, around: Around, cursor: Cursor
    ) -> list[Claim]:
        """One after the other, of what there is room for, from where the last of it was found."""
        known = [each for each in around.limited if each.most > 0 and each[:2] in self._found_at]
        if not known:
            return []
        self._turn += 1
        name = known[self._turn % len(known)]
        start = cursor.advanced_to(self._found_at.pop(name[:2]))
        return await self._scan(conn, places, around, start, SCAN_MAX)

    async def _scan_on(self, conn: Connection, places: Places, around: Around, cursor: Cursor) -> list[Claim]:
        claims: list[Claim] = []
        clock = self._queue.clock
        began_at = clock.monotonic()
        for _ in range(LONG_SCANS_MAX):
            end, more = await self._scan_end(conn, cursor)
            claims = await self._scan(conn, places, around, cursor, LONG_SCAN_MAX)
            if claims:
                break
            cursor, self._at_end = end, not more
            if not more or clock.monotonic() - began_at > LONG_SCANS_S:
                break
            if len(around.passed_by) == 1 and self._queue.in_a_hurry():
                break
        self._scanned_to = cursor.after(claims)
        return claims

    async def _scan_end(self, conn: Connection, cursor: Cursor) -> tuple[Cursor, bool]:
        queue = self._queue
        return await store.fetch_scan_end(
            conn, channel=queue.channel, lane=queue.lane, cursor=cursor, scan_max=LONG_SCAN_MAX
        )

    async def _scan(
        self, conn: Connection, places: Places, around: Around, cursor: Cursor, scan_max: int
    ) -> list[Claim]:
        return await scan(
            conn, self._queue, places, around, cursor=cursor, scan_max=scan_max, tenants=self._tenants
        )


async def scan(
    conn: Connection,
    queue: Queue,
    places: Places,
    around: Around,
    *,
    cursor: Cursor,
    scan_max: int,
    tenants: Sequence[str],
) -> list[Claim]:
    """Lease what is among the next `scan_max` of each kind and may be claimed."""
    return await store.claim_around(
        conn,
        channel=queue.channel,
        worker=queue.worker.id,
        first_max=places.first_max,
        retry_max=places.retry_max,
        cursor=cursor,
        full=around.full,
        limited=around.limited,
        scan_max=scan_max,
        lane=queue.lane,
        tenants=tenants,
    )


class EmptyScanPause:
    """A pause after a scan that found work for full destinations only, while those stay full."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._shut: frozenset[Hashable] = frozenset()
        self._until = float("-inf")

    def holds(self, shut: Collection[Hashable]) -> bool:
        """Whether scanning is not worth a query yet, while these take nothing."""
        return self._clock.monotonic() < self._until and self._shut.issubset(shut)

    def begin(self, shut: Collection[Hashable], *, scan_s: float) -> None:
        """An empty scan ended now, which took so long."""
        pause_s = min(PAUSE_MAX_S, max(PAUSE_MIN_S, PAUSE_SCANS * scan_s))
        self._shut, self._until = frozenset(shut), self._clock.monotonic() + pause_s
