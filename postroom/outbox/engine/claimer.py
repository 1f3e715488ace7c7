"""Claims the due deliveries of one lane of a channel, batch after batch, from where the last batch ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from postroom.base.db import DATABASE_FAILURES
from postroom.outbox import store
from postroom.outbox.cursor import START, Cursor
from postroom.outbox.engine.around import Around
from postroom.outbox.engine.past_full import EmptyScanPause, PastFullScan, Places
from postroom.outbox.engine.put_off import PutOff
from postroom.outbox.engine.queue import Queue
from postroom.outbox.engine.restarts import DEFAULT_PACE, RestartPace, Restarts
from postroom.outbox.lanes import RETRY_STATES
from postroom.outbox.model import Claim
from postroom.outbox.store import OrderedBy

CLAIM_MAX: Final = 500
BLOCKED_SCAN_MAX: Final = 5_000
BLOCKED_SCANS_MAX: Final = 10
"""How far, and how often in one claim, what waits for its ordering keys is passed by."""
COUNT_EVERY_S: Final = 0.25


class Claimer:
    """Keeps the cursor.

    Promise: everything due is claimed. What appears before the cursor (a transaction that committed late,
    a delivery that was put off) is found when nothing is due behind it, or after `RestartPace.every_s`.
    Where much waits for its ordering keys, the cursor passes it by: reading all of it takes 8 µs each.
    """

    def __init__(self, queue: Queue, *, restart_pace: RestartPace = DEFAULT_PACE) -> None:
        self._queue = queue
        self._pace = restart_pace
        self._restarts = Restarts(clock=queue.clock, pace=restart_pace)
        self._past_full = PastFullScan(queue)
        self._pause = EmptyScanPause(queue.clock)
        self._put_off = PutOff(queue)
        self._cursor = START
        self._retries_are_due = True
        self._much_is_blocked = False
        self._count_again_at = 0.0

    async def claim(self, free: int, around: Around, *, ended: Sequence[OrderedBy] = ()) -> list[Claim]:
        """At most `free` deliveries; empty when nothing else is due.

        What is due to closed destinations is put off, and what is due to silent ones where it hides
        everything else. `ended`: at most `free`; what waited for these comes first.
        """
        wanted = min(CLAIM_MAX, free)
        if wanted <= 0:
            return []
        claims = await self._claim_behind(ended) if ended else []
        wanted -= len(claims)
        if wanted <= 0:
            return claims
        if self._restarts.overdue:
            self._restart()
        if around.full or around.limited:
            await self._put_off.closed(around.closed)
            return claims + await self._claim_past_full(wanted, around)
        return claims + await self._claim_due(wanted)

    async def _claim_behind(self, ended: Sequence[OrderedBy]) -> list[Claim]:
        async with self._queue.pool.acquire() as conn:
            return await store.claim_behind(
                conn, channel=self._queue.channel, worker=self._queue.worker.id, ended=ended
            )

    async def _claim_due(self, wanted: int) -> list[Claim]:
        claims = await self._claim_from_cursor(wanted)
        if not claims and self._cursor != START and self._restarts.affordable:
            self._restart()
            claims = await self._claim_from_cursor(wanted)
        return claims

    async def _claim_from_cursor(self, wanted: int) -> list[Claim]:
        """The cursor moves to the last one claimed, or past what waits for its ordering keys."""
        cursor = self._cursor
        # Before the claim: what is published in the meantime must not be passed by.
        blocked_end = await self._blocked_end() if self._much_is_blocked else cursor
        places = self._places(wanted)
        began_at = self._queue.clock.monotonic()
        claims = await self._claim(places)
        took_s = self._queue.clock.monotonic() - began_at
        retry_count = len([claim for claim in claims if claim.state in RETRY_STATES])
        self._retries_are_due = retry_count > 0
        no_more_first = len(claims) - retry_count < places.first_max
        no_more_retries = retry_count < places.retry_max
        self._cursor = cursor.after(claims).advanced_to(
            blocked_end, first=no_more_first, retry=no_more_retries
        )
        slow = took_s > self._pace.slow_claim_s and no_more_first and no_more_retries
        blocked = slow and await self._much_is_due(claimed=bool(claims))
        if cursor == START:
            self._much_is_blocked = blocked
            self._restarts.claimed_from_start(took_s, blocked=blocked)
        elif blocked:
            self._much_is_blocked = True
        return claims

    async def _claim(self, places: Places) -> list[Claim]:
        async with self._queue.pool.acquire() as conn:
            return await store.claim_due(
                conn,
                channel=self._queue.channel,
                worker=self._queue.worker.id,
                first_max=places.first_max,
                retry_max=places.retry_max,
                cursor=self._cursor,
                lane=self._queue.lane,
            )

    async def _much_is_due(self, *, claimed: bool) -> bool:
        """Where something was claimed, no failure of this question keeps it from being delivered.

        Not asked again for a moment where it was not so: on a busy machine every claim is slow.
        """
        if self._queue.clock.monotonic() < self._count_again_at:
            return False
        most = self._pace.blocked_min
        try:
            async with self._queue.pool.acquire() as conn:
                much = (
                    await store.count_due(conn, channel=self._queue.channel, lane=self._queue.lane, most=most)
                    >= most
                )
        except DATABASE_FAILURES:
            if not claimed:
                raise
            return False
        if not much:
            self._count_again_at = self._queue.clock.monotonic() + COUNT_EVERY_S
        return much

    async def _blocked_end(self) -> Cursor:
        """Where what is due now ends, or as far towards it as one claim may scan."""
        cursor = self._cursor
        async with self._queue.pool.acquire() as conn:
            for _ in range(BLOCKED_SCANS_MAX):
                cursor, more = await store.fetch_scan_end(
                    conn,
                    channel=self._queue.channel,
                    lane=self._queue.lane,
                    cursor=cursor,
                    scan_max=BLOCKED_SCAN_MAX,
                )
                if not more:
                    break
        return cursor

    async def _claim_past_full(self, wanted: int, around: Around) -> list[Claim]:
        """The cursor stays, for it would pass over what is left alone."""
        shut = around.shut
        if shut and self._pause.holds(shut):
            return []
        began_at = self._queue.clock.monotonic()
        async with self._queue.pool.acquire() as conn:
            places = self._places(wanted)
            claims = await self._past_full.claim(conn, places, around, self._cursor)
            if shut and not claims:
                self._pause.begin(shut, scan_s=self._queue.clock.monotonic() - began_at)
                await self._put_off.silent(conn, around.silent)
        return claims

    def _places(self, wanted: int) -> Places:
        return Places.of(wanted, retries_are_due=self._retries_are_due)

    def _restart(self) -> None:
        self._cursor = START
        self._past_full.restart()
        self._restarts.restarted()
