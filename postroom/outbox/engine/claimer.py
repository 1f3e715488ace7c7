"""Claims one channel's due deliveries, batch after batch, from where the last batch ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from postroom.base.clock import Clock
from postroom.base.db import Connection, Pool
from postroom.outbox import store
from postroom.outbox.model import Claim
from postroom.outbox.store import BOTTOM, Floor, OrderedBy
from postroom.worker.heartbeat import Worker

CLAIM_MAX: Final = 500
BOTTOM_AGAIN_S: Final = 5.0
SLOW_S: Final = 0.005
MUCH: Final = 100
"""A claim that took longer and left so many has looked at what waits for the one before it."""
RARELY: Final = 20
"""Looking below the floor takes a twentieth of the time at most."""
LOOK_MAX: Final = 1_000
"""How far a claim looks behind destinations that may have no more, before it puts them off."""
PUT_OFF_S: Final = 2.0
CLOSED_LOOK_S: Final = 1.0
CLOSED_MAX_S: Final = 30.0
"""So that a breaker which a person closes is not waited for much longer."""
VAIN_S: Final = 0.05
VAIN_MAX_S: Final = 1.0
SELDOM: Final = 4
"""After a look that found work for full destinations only, while those are full: a pause of so long, or
of so many times what the look took."""
WALK_MAX: Final = 5_000
WALKS_MAX: Final = 10
WALK_S: Final = 0.2
"""How far, how often and how long in one claim it looks on behind a view that full destinations clog."""


class Claimer:
    """Keeps the floor.

    Promise: everything due is claimed. What appears below the floor (a transaction that committed
    late, a delivery that was put off) is found when the queue runs dry, or after `BOTTOM_AGAIN_S`. Where much
    waits behind ordering keys, the floor passes it by: looking at all of it takes 8 µs each.
    """

    def __init__(self, *, pool: Pool, worker: Worker, channel: str, clock: Clock) -> None:
        self._pool = pool
        self._worker = worker
        self._channel = channel
        self._clock = clock
        self._floor = self._walked = BOTTOM
        self._bottom_at = clock.monotonic()
        self._retries_wait = True
        self._vain: frozenset[str] = frozenset()
        self._vain_until = float("-inf")
        self._put_off_at = float("-inf")
        self._walked_past: frozenset[str] = frozenset()
        self._much_waits = False
        self._below_at = float("-inf")

    async def claim(
        self,
        free: int,
        *,
        full: Sequence[str] = (),
        silent: Sequence[str] = (),
        closed: Mapping[str, float] | None = None,
        ended: Sequence[OrderedBy] = (),
    ) -> list[Claim]:
        """At most `free` deliveries, none to a destination in `full`; empty when nothing else is due.

        What is due to `closed` destinations is put off for so many seconds, and what is due to `silent`
        ones where nothing else is in view. `ended`: at most `free`; what waited for these comes first.
        """
        wanted = min(CLAIM_MAX, free)
        if wanted <= 0:
            return []
        claims = await self._claim_behind(ended) if ended else []
        return claims + await self._claim_more(wanted - len(claims), full, silent, closed or {})

    async def _claim_behind(self, ended: Sequence[OrderedBy]) -> list[Claim]:
        async with self._pool.acquire() as conn:
            return await store.claim_behind(conn, channel=self._channel, worker=self._worker.id, ended=ended)

    async def _claim_more(
        self, wanted: int, full: Sequence[str], silent: Sequence[str], closed: Mapping[str, float]
    ) -> list[Claim]:
        if wanted <= 0:
            return []
        if self._clock.monotonic() - self._bottom_at > BOTTOM_AGAIN_S:
            self._start_over()
        if full:
            await self._put_off_closed(closed)
            return await self._claim_around(wanted, full, silent)
        claims = await self._claim_on(wanted)
        if not claims and self._floor != BOTTOM and self._clock.monotonic() >= self._below_at:
            self._start_over()
            claims = await self._claim_on(wanted)
        return claims

    async def _claim_on(self, wanted: int) -> list[Claim]:
        """From the floor, which goes up: to the last one claimed, or past what waits for others to end."""
        floor = self._floor
        # Before the claim: what is published in the meantime must not be passed by.
        end = await self._end_of_due(floor) if self._much_waits else floor
        first_max, retry_max = self._shares(wanted)
        began_at = self._clock.monotonic()
        claims = await self._claim(first_max, retry_max)
        took_s = self._clock.monotonic() - began_at
        retries = sum(claim.state == "retry" for claim in claims)
        no_more_first, no_more_retries = len(claims) - retries < first_max, retries < retry_max
        self._floor = floor.above(claims).furthest(end, first=no_more_first, retry=no_more_retries)
        slow = took_s > SLOW_S and no_more_first and no_more_retries
        much_waits = slow and await self._much_is_due()
        self._much_waits = much_waits or (self._much_waits and floor != BOTTOM)
        if floor == BOTTOM:
            self._bottom_at = now = self._clock.monotonic()
            self._below_at = now + min(BOTTOM_AGAIN_S, RARELY * took_s) * much_waits
        return claims

    async def _much_is_due(self) -> bool:
        async with self._pool.acquire() as conn:
            return await store.count_due(conn, channel=self._channel, most=MUCH) >= MUCH

    async def _end_of_due(self, floor: Floor) -> Floor:
        """Where what is due now ends, or `WALKS_MAX` walks further on."""
        async with self._pool.acquire() as conn:
            for _ in range(WALKS_MAX):
                floor, more = await store.fetch_scan_end(
                    conn, channel=self._channel, floor=floor, look_max=WALK_MAX
                )
                if not more:
                    break
        return floor

    async def _claim(self, first_max: int, retry_max: int) -> list[Claim]:
        async with self._pool.acquire() as conn:
            claims = await store.claim_due(
                conn,
                channel=self._channel,
                worker=self._worker.id,
                first_max=first_max,
                retry_max=retry_max,
                floor=self._floor,
            )
        self._retries_wait = any(claim.state == "retry" for claim in claims)
        return claims

    async def _claim_around(self, wanted: int, full: Sequence[str], silent: Sequence[str]) -> list[Claim]:
        """The floor stays, for it would pass over what is left alone. Who clogs the view is put off."""
        now = self._clock.monotonic()
        if now < self._vain_until and self._vain.issubset(full):
            return []
        async with self._pool.acquire() as conn:
            claims = await self._look(conn, wanted, full, self._floor, LOOK_MAX)
            if not claims:
                claims = await self._walk(conn, wanted, full)
            if not claims:
                ended_at = self._clock.monotonic()
                pause_s = min(VAIN_MAX_S, max(VAIN_S, SELDOM * (ended_at - now)))
                self._vain, self._vain_until = frozenset(full), ended_at + pause_s
            if (
                not claims
                and silent
                and await store.count_due(conn, channel=self._channel, most=LOOK_MAX) >= LOOK_MAX
            ):
                delays_s = dict.fromkeys(silent, PUT_OFF_S)
                await store.put_off(conn, channel=self._channel, delays_s=delays_s, look_max=LOOK_MAX)
        return claims

    async def _look(
        self, conn: Connection, wanted: int, full: Sequence[str], floor: Floor, look_max: int
    ) -> list[Claim]:
        first_max, retry_max = self._shares(wanted)
        return await store.claim_around(
            conn,
            channel=self._channel,
            worker=self._worker.id,
            first_max=first_max,
            retry_max=retry_max,
            floor=floor,
            full=full,
            look_max=look_max,
        )

    async def _walk(self, conn: Connection, wanted: int, full: Sequence[str]) -> list[Claim]:
        """Look on behind what is due to full destinations, however much that is, for what is due to others.

        Goes on where the last walk ended, as long as whatever that passed by is full still: so a backlog is
        walked through once, and then only what comes after it. What appears within it is found when
        claiming starts over.
        """
        at = self._floor
        if self._walked_past.issubset(full):
            at = at.furthest(self._walked)
        claims: list[Claim] = []
        began_at = self._clock.monotonic()
        for _ in range(WALKS_MAX):
            end, more = await store.fetch_scan_end(conn, channel=self._channel, floor=at, look_max=WALK_MAX)
            claims = await self._look(conn, wanted, full, at, WALK_MAX)
            if claims:
                break
            at = end
            if not more or self._clock.monotonic() - began_at > WALK_S:
                break
        self._walked, self._walked_past = at, frozenset(full)
        return claims

    async def _put_off_closed(self, closed: Mapping[str, float]) -> None:
        """What waits for a breaker is not late, and must not be looked at again and again."""
        now = self._clock.monotonic()
        if not closed or now - self._put_off_at < CLOSED_LOOK_S:
            return
        self._put_off_at = now
        delays_s = {name: min(left_s, CLOSED_MAX_S) for name, left_s in closed.items()}
        async with self._pool.acquire() as conn:
            await store.put_off(conn, channel=self._channel, delays_s=delays_s, look_max=LOOK_MAX)

    def _shares(self, wanted: int) -> tuple[int, int]:
        """Retries get half of the places while there are any, and the look of one while there are none."""
        retry_max = max(1, wanted // 2) if self._retries_wait else 1
        return max(1, wanted - retry_max), retry_max

    def _start_over(self) -> None:
        self._floor = self._walked = BOTTOM
        self._bottom_at = self._clock.monotonic()
