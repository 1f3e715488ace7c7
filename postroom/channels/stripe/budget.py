"""Requests a second to Stripe's API, all processes together: Stripe counts what we ask for in all of them."""

from __future__ import annotations

import asyncio
from typing import Final

from postroom.base.clock import Clock
from postroom.base.db import Pool, transaction
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.outbox.limits import LimitKey, Wanted, delay_starts, ensure_limit, lease
from postroom.outbox.model import Channel

LIVE_PER_S: Final = 20.0
TEST_PER_S: Final = 10.0
"""Stripe takes 25 of one endpoint, and of a sandbox in all: half of it is for everybody else."""
TURN_MAX_S: Final = 5.0
ASK_MIN_S: Final = 0.02
SLOW_S: Final = 1.0
SLOW_MAX_S: Final = 60.0
"""How long nobody asks after a 429, twice as long after each one in a row: Stripe seldom names a time."""


class RequestBudget:
    """The limit of one account's requests; a limit as others, which `postroom limit` shows and sets.

    Promise: that of `limits.lease`, over all processes. The default is set by whoever asks first.
    """

    def __init__(self, *, pool: Pool, clock: Clock, via: str, per_second: float) -> None:
        name = "api" if via == OWN_ACCOUNT else f"api:{via}"
        self._key = LimitKey(Channel.STRIPE, destination=name)
        self._pool = pool
        self._clock = clock
        self._per_second = per_second
        self._turn = asyncio.Lock()
        self._limit_id: int | None = None
        self._limited_times = 0

    async def take(self) -> float | None:
        """None: go ahead. A number: others have all of it; ask again after so many seconds.

        It waits for its turn, `TURN_MAX_S` at most. Errors: what the driver raises.
        """
        until_s = self._clock.monotonic() + TURN_MAX_S
        async with self._turn:
            while (wait_s := await self._lease()) is not None:
                if self._clock.monotonic() + wait_s > until_s:
                    return wait_s
                await asyncio.sleep(wait_s)
        return None

    async def slow_down(self, asked_s: float | None = None) -> float:
        """Nobody asks for a while. `asked_s`: Stripe's own wish. Returns: for how many seconds."""
        pause_s: float = min(SLOW_S * 2.0**self._limited_times, SLOW_MAX_S)
        self._limited_times += pause_s < SLOW_MAX_S
        pause_s = max(pause_s, asked_s or 0.0)
        async with self._pool.acquire() as conn:
            await delay_starts(conn, self._key, pause_s)
        return pause_s

    def went_well(self) -> None:
        self._limited_times = 0

    async def _lease(self) -> float | None:
        if self._limit_id is None:
            async with self._pool.acquire() as conn:
                self._limit_id = await ensure_limit(
                    conn, self._key, per_second=self._per_second, reason="requests to Stripe's API"
                )
        async with transaction(self._pool) as conn:
            leases = await lease(conn, worker=0, wanted=[Wanted(self._limit_id, 1, 0, 0)])
        if not leases:  # somebody has removed it: the default holds again
            self._limit_id = None
            return ASK_MIN_S
        [given] = leases
        return None if given.starts or given.next_start_s is None else max(given.next_start_s, ASK_MIN_S)
