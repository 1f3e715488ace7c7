"""How many mails a second one route takes, all runners together."""

from __future__ import annotations

import asyncio
import math
import random
from typing import Final

from postroom.base.clock import Clock
from postroom.base.db import Pool, transaction
from postroom.outbox.limits import ROUTE, Wanted, keep_limit, lease
from postroom.outbox.model import Channel

WORTH_S: Final = 0.1
"""A lease is for what the rate grants in so long at most, or for one mail."""
VOID_S: Final = 0.5
"""What was leased and not sent is void so long after it was asked for."""
TURN_MAX_S: Final = 1.0
"""So long a mail that has no other way waits for its turn."""
ASK_MIN_S: Final = 0.02
AGAIN_MAX_S: Final = 60.0
"""Those that wait longer are put off, at twice the rate: some are always there when it is their turn."""


class RouteRate:
    """A limit as others (ADR 17), which settings set: `postroom limit list` shows it as `route:<name>`.

    Promise: that of `limits.lease`, over all processes. Not more mails at once wait for their turn than may
    (`waiting_max`): the places of a runner are for other routes, too.
    """

    def __init__(
        self, *, pool: Pool, clock: Clock, name: str, setting: str, per_second: float, waiting_max: int
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._name = name
        self._setting = setting
        self._per_second = per_second
        self._waiting_max = waiting_max
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._limit_id: int | None = None
        self._starts = 0
        self._void_at = self._ask_at = self._again_at = -math.inf

    async def take(self) -> bool:
        """Whether one may go now. Errors: what the driver raises."""
        if self._took():
            return True
        if self._waiting or self._clock.monotonic() < self._ask_at:
            return False
        async with self._turn:
            await self._lease()
        return self._took()

    async def turn(self, *, urgent: bool = False) -> float | None:
        """None: go ahead. A number: it is used up; come back in so many seconds.

        It waits for its turn, `TURN_MAX_S` at most; for what is `urgent` there are as many turns again.
        Errors: what the driver raises.
        """
        if self._waiting >= self._waiting_max * (2 if urgent else 1):
            return self._again(self._clock.monotonic())
        self._waiting += 1
        try:
            return await self._wait()
        finally:
            self._waiting -= 1

    async def _wait(self) -> float | None:
        until = self._clock.monotonic() + TURN_MAX_S
        async with self._turn:
            while not self._took():
                wait_s = self._ask_at - self._clock.monotonic()
                if self._clock.monotonic() + max(wait_s, 0.0) > until:
                    return self._again(self._clock.monotonic())
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                await self._lease()
        return None

    def _took(self) -> bool:
        if not self._starts or self._clock.monotonic() >= self._void_at:
            return False
        self._starts -= 1
        return True

    def _again(self, now: float) -> float:
        """When one comes back that is put off now: one after the other, and the rest at random."""
        self._again_at = max(self._again_at, self._ask_at, now) + 0.5 / self._per_second
        if self._again_at - now <= AGAIN_MAX_S:
            return self._again_at - now
        self._again_at = now + AGAIN_MAX_S
        return random.uniform(AGAIN_MAX_S / 2, AGAIN_MAX_S)  # noqa: S311  no secret

    async def _lease(self) -> None:
        """Ask for as many as wait."""
        if self._limit_id is None:
            async with self._pool.acquire() as conn:
                self._limit_id = await keep_limit(
                    conn,
                    Channel.EMAIL,
                    ROUTE + self._name,
                    per_second=self._per_second,
                    reason=self._setting,
                )
        asked_at = self._clock.monotonic()
        wanted = min(max(self._waiting, 1), max(int(self._per_second * WORTH_S), 1))
        async with transaction(self._pool) as conn:
            leases = await lease(conn, worker=0, wanted=[Wanted(self._limit_id, wanted, 0, 0)])
        if not leases:  # somebody has removed it: the setting holds again
            self._limit_id = None
            return
        [given] = leases
        self._starts, self._void_at = given.starts, asked_at + VOID_S
        if given.starts < wanted:
            self._ask_at = self._clock.monotonic() + max(given.next_start_s or 0.0, ASK_MIN_S)
