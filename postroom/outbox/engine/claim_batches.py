"""Which claims a relay has made and not yet seen the end of, so that the ledger's note of them can go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from postroom.base.clock import Clock
from postroom.base.db import DATABASE_FAILURES, Pool
from postroom.base.log import get_logger
from postroom.outbox import store
from postroom.outbox.model import Claim

log = get_logger(__name__)

FORGET_EVERY_S: Final = 1.0
FORGET_MAX: Final = 500


class ClaimBatches:
    """Counts, for each claim, how many of its deliveries have not ended.

    Promise: the ledger notes no more claims than this relay has places, and those that have ended within
    `FORGET_EVERY_S`. Does not promise: that a failure leaves nothing behind; the rescuer removes that.
    """

    def __init__(self, *, pool: Pool, channel: str, clock: Clock) -> None:
        self._pool = pool
        self._channel = channel
        self._clock = clock
        self._open: dict[int | None, int] = {}
        self._ended: list[int] = []
        self._forgot_at = float("-inf")

    def began(self, claims: Sequence[Claim]) -> None:
        """All that one claim has brought, or several."""
        self._open.update(Counter([claim.batch_id for claim in claims]))

    def ended(self, claim: Claim) -> None:
        """It is settled, or was lost to somebody else."""
        batch_id = claim.batch_id
        if batch_id is None or (open_count := self._open.get(batch_id)) is None:
            return
        if open_count > 1:
            self._open[batch_id] = open_count - 1
        else:
            del self._open[batch_id]
            self._ended.append(batch_id)

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
            await store.forget_claims(conn, ended)
