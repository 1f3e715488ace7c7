"""Claims that the database made and this worker never heard of, because the connection died."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from postroom.base.clock import Clock
from postroom.base.db import Pool, transaction
from postroom.base.log import get_logger
from postroom.outbox import store
from postroom.worker.heartbeat import Worker

log = get_logger(__name__)

UNSURE_S: Final = 600.0
CHECK_EVERY_S: Final = 5.0


class LostClaims:
    """Finds them and hands them back, with no attempt spent: nobody has tried them.

    Promise: after `suspect` they are free again at the next `begin`, and for `UNSURE_S` more within
    `check_every_s`, for a claim can commit long after its connection died. Without a suspicion nothing
    is asked of the database. Does not promise: what commits later still; it is freed when this worker ends.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        worker: Worker,
        channel: str,
        clock: Clock,
        check_every_s: float = CHECK_EVERY_S,
    ) -> None:
        self._pool = pool
        self._worker = worker
        self._channel = channel
        self._clock = clock
        self._check_every_s = check_every_s
        self._unsure_until = float("-inf")
        self._checked_at = float("-inf")
        self._known_from: datetime | None = None

    def suspect(self) -> None:
        """A claim has failed; whether the database made it is not known."""
        self._unsure_until = self._clock.monotonic() + UNSURE_S

    async def begin(self) -> None:
        """Before the first claim of a run, while by its own account this worker holds nothing here."""
        self._known_from = None
        if self._unsure:
            self._known_from = await self._hand_back(None)

    async def check(self) -> None:
        """Now and then while claims are made: what is older than this run is not of this run."""
        if not self._unsure or self._known_from is None:
            return
        if self._clock.monotonic() - self._checked_at > self._check_every_s:
            await self._hand_back(self._known_from)

    @property
    def _unsure(self) -> bool:
        return self._clock.monotonic() < self._unsure_until

    async def _hand_back(self, before: datetime | None) -> datetime:
        async with transaction(self._pool) as conn:
            count, at = await store.hand_back(
                conn, channel=self._channel, worker=self._worker.id, before=before
            )
        self._checked_at = self._clock.monotonic()
        if count:
            log.warning("claim.answer_lost", channel=self._channel, deliveries=count)
        return at
