"""Which claims a relay has made and not yet seen the end of, so that the ledger's note of them can go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from postroom.base.clock import Clock
from postroom.base.db import DATABASE_FAILURES, Pool
from postroom.base.log import get_logger
from postroom.outbox import store
from postroom.outbox.model import Claim

log = get_logger(__name__)

FORGET_EVERY_S: Final = 1.0
FORGET_MAX: Final = 500


@dataclass(slots=True)
class _Batch:
    worker: int
    open_count: int


class ClaimBatches:
    """Counts, for each claim, how many of its deliveries have not ended.

    Promise: the ledger notes no more claims than this relay has places, and those that have ended within
    `FORGET_EVERY_S`. Does not promise: that a failure leaves nothing behind; the rescuer removes that.
    """

    def __init__(self, *, pool: Pool, channel: str, clock: Clock) -> None:
        self._pool = pool
        self._channel = channel
        self._clock = clock
        self._open: dict[datetime, _Batch] = {}
        self._ended: list[tuple[int, datetime]] = []
        self._forgot_at = float("-inf")

    def began(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            if claim.claimed_at is None:
                continue
            batch = self._open.get(claim.claimed_at)
            if batch is None:
                self._open[claim.claimed_at] = _Batch(claim.worker, 1)
            else:
                batch.open_count += 1

    def ended(self, claim: Claim) -> None:
        """It is settled, or was lost to somebody else."""
        if claim.claimed_at is None or (batch := self._open.get(claim.claimed_at)) is None:
            return
        batch.open_count -= 1
        if not batch.open_count:
            del self._open[claim.claimed_at]
            self._ended.append((batch.worker, claim.claimed_at))

    async def forget_now_and_then(self) -> None:
        """Errors: the database's."""
        due = self._clock.monotonic() - self._forgot_at > FORGET_EVERY_S
        if self._ended and (due or len(self._ended) >= FORGET_MAX):
            await self._forget()

    async def forget_all(self) -> None:
        """At the end of a run. A database that is away costs nothing but a row that the rescuer removes."""
        if not self._ended:
            return
        try:
            await self._forget()
        except DATABASE_FAILURES as error:
            log.warning("claim.not_forgotten", channel=self._channel, error=repr(error))

    async def _forget(self) -> None:
        self._forgot_at = self._clock.monotonic()
        ended, self._ended = self._ended, []
        async with self._pool.acquire() as conn:
            await store.forget_claims(conn, channel=self._channel, batches=ended)
