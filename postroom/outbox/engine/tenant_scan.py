"""Claims around tenants that crowd a lane, however much of theirs is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from postroom.base.db import Connection
from postroom.outbox import store
from postroom.outbox.cursor import START, Cursor
from postroom.outbox.engine.around import Around
from postroom.outbox.engine.past_full import PAUSE_SCANS, PastFullScan, Places, scan
from postroom.outbox.engine.queue import Queue
from postroom.outbox.lanes import RETRY_STATES
from postroom.outbox.model import Claim

LOOK_EVERY_S: Final = 0.1
BEGIN_AGO_S: Final = 0.5
AGAIN_S: Final = 5.0
AGAIN_FULL_S: Final = 60.0
"""The look begins so long ago anew: for transactions that commit late; with full destinations, for these."""
WALK_EVERY_S: Final = 60.0
STEP_MAX: Final = 5_000
STEP_PAUSE: Final = 100
"""A step of the walk that finds nothing is followed by a pause of so many times what it took."""


class TenantScan:
    """Finds what others than `tenants` have due.

    Promise: what they publish is found within `LOOK_EVERY_S`, or `AGAIN_S` if it commits late; what they had
    waiting before, by a walk through all that is due, which takes a hundredth of the time where it finds
    nothing: a million rows in two minutes, and again after `WALK_EVERY_S`. Does not promise: an order
    between the two.
    """

    def __init__(self, queue: Queue, tenants: Sequence[str]) -> None:
        self.tenants = tenants
        self._queue = queue
        self._new = PastFullScan(queue, tenants=tenants)
        self._new_from: Cursor | None = None
        self._began_at = 0.0
        self._look_at = float("-inf")
        self._walked_to = START
        self._walk_at = float("-inf")
        self._retries_are_due = True

    async def claim(self, conn: Connection, wanted: int, around: Around) -> list[Claim]:
        """Lease about `wanted` at most; what was published lately comes first."""
        if wanted <= 0:
            return []
        places = Places.of(wanted, retries_are_due=self._retries_are_due)
        claims = await self._claim_new(conn, places, around)
        claims = claims or await self._claim_walking(conn, places, around)
        self._retries_are_due = any(claim.state in RETRY_STATES for claim in claims)
        return claims

    async def _claim_new(self, conn: Connection, places: Places, around: Around) -> list[Claim]:
        began_at = self._queue.clock.monotonic()
        if began_at < self._look_at:
            return []
        cursor = await self._beginning(conn, passes_by=bool(around.passed_by))
        claims = await self._new.claim(conn, places, around, cursor)
        if not claims:
            now = self._queue.clock.monotonic()
            self._look_at = now + max(LOOK_EVERY_S, PAUSE_SCANS * (now - began_at))
        return claims

    async def _beginning(self, conn: Connection, *, passes_by: bool) -> Cursor:
        """Where what is new begins; it stays while something behind it is passed by, for that has no room."""
        now = self._queue.clock.monotonic()
        again_s = AGAIN_FULL_S if passes_by else AGAIN_S
        if self._new_from is None or now - self._began_at > again_s:
            ago_s = BEGIN_AGO_S if self._new_from is None else AGAIN_S
            position = (await store.fetch_moment_ago(conn, ago_s), 0)
            self._new_from, self._began_at = Cursor(position, position), now
            self._new.restart()
        return self._new_from

    async def _claim_walking(self, conn: Connection, places: Places, around: Around) -> list[Claim]:
        began_at = self._queue.clock.monotonic()
        if began_at < self._walk_at:
            return []
        # Before the claim: what is published in the meantime must not be passed by.
        end, more = await store.fetch_scan_end(
            conn,
            channel=self._queue.channel,
            lane=self._queue.lane,
            cursor=self._walked_to,
            scan_max=STEP_MAX,
        )
        claims = await scan(
            conn,
            self._queue,
            places,
            around,
            cursor=self._walked_to,
            scan_max=STEP_MAX,
            tenants=self.tenants,
        )
        if claims:
            self._walked_to = self._walked_to.after(claims)
            return claims
        now = self._queue.clock.monotonic()
        self._walked_to = end if more else START
        self._walk_at = now + max(STEP_PAUSE * (now - began_at), 0.0 if more else WALK_EVERY_S)
        return []
