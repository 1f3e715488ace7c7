"""The runs under way here, what they tell of themselves, and which of them somebody wants cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

import msgspec

from postroom.base.cancelling import cancel
from postroom.base.db import DATABASE_FAILURES, Pool, query
from postroom.base.log import get_logger
from postroom.client.task import BATCH_KEY, BatchCounts
from postroom.outbox.model import Claim
from postroom.outbox.store import TALLY_SHARDS

log = get_logger(__name__)

_EXCHANGE: Final = query(__package__, "exchange_runs")
_CANCEL: Final = query(__package__, "cancel_run")
_BATCH: Final = query(__package__, "fetch_batch")

EVERY_S: Final = 1.0
GRACE_S: Final = 5.0
"""For what a task does once it is cancelled."""
WITHIN_S: Final = 10.0


class Run(msgspec.Struct):  # made for each run
    """One run here. `cancelled_by`: who wants it cancelled; None as long as nobody does. `settled`: its
    transaction has ended it, or it was lost."""

    message_id: UUID
    cancelled_by: str | None = None
    settled: bool = False
    progress: float | None = None
    told: float | None = None
    on_cancel: Callable[[], None] | None = None

    def report(self, progress: float) -> None:
        self.progress = progress

    def cancel(self, by: str) -> None:
        if self.cancelled_by is None:
            self.cancelled_by = by
            if self.on_cancel is not None:
                self.on_cancel()


def follows_batch(claim: Claim) -> bool:
    """Whether it may: only of those is the ledger asked."""
    return claim.key is not None and claim.key.startswith(BATCH_KEY)


class Runs:
    """Exchanges with the ledger once a second, in one statement for all runs; where each is shorter, never.

    Promise: a run is cancelled within two seconds of the operator's commit while the database answers.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._here: dict[UUID, Run] = {}
        self._ended: set[UUID] = set()
        self._wanted: dict[UUID, str] = {}
        self._exchanging: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        return bool(self._here)

    def of(self, claim: Claim) -> Run:
        """Cancelled already, where that is known here."""
        return Run(claim.message_id, self._wanted.get(claim.message_id))

    def begin(self, run: Run) -> None:
        """What has ended before anything else can happen here need not be begun."""
        self._here[run.message_id] = run
        if self._exchanging is None:
            self._exchanging = asyncio.create_task(self._exchange_while_needed(), name="task runs")

    def end(self, run: Run) -> None:
        if self._here.get(run.message_id) is run:
            del self._here[run.message_id]
        if run.told is not None:
            self._ended.add(run.message_id)

    async def close(self) -> None:
        if self._exchanging is not None:
            await cancel([self._exchanging])

    async def batch_before(self, claim: Claim) -> BatchCounts | None:
        """How the batch ended that it follows."""
        async with self._pool.acquire() as conn:
            row = await conn.fetchrow(_BATCH, claim.message_id)
        return None if row is None else BatchCounts(**row)

    async def settle_cancelled(self, claim: Claim, by: str, *, took_ms: int) -> None:
        """End it under its fence; one that was lost to another worker is left alone."""
        shard, reason = claim.worker % TALLY_SHARDS, f"cancelled by {by}"
        fence = (claim.message_id, claim.n, claim.worker, claim.claim_no)
        async with self._pool.acquire() as conn:
            await conn.execute(_CANCEL, *fence, shard, took_ms, reason)

    async def _exchange_while_needed(self) -> None:
        try:
            while self._here or self._ended or self._wanted:
                await asyncio.sleep(EVERY_S)
                if self._here or self._ended or self._wanted:
                    await self._exchange()
        finally:
            self._exchanging = None

    async def _exchange(self) -> None:
        news = [(run, run.progress) for run in self._here.values() if run.progress != run.told]
        ended = list(self._ended - self._here.keys())
        try:
            async with asyncio.timeout(WITHIN_S), self._pool.acquire() as conn:
                rows = await conn.fetch(
                    _EXCHANGE, [run.message_id for run, _ in news], [told for _, told in news], ended
                )
        except (*DATABASE_FAILURES, TimeoutError) as error:
            log.warning("tasks.not_exchanged", runs=len(self._here), error=repr(error))
            return
        for run, told in news:
            run.told = told
        self._ended.difference_update(ended)
        self._ended.update(run.message_id for run, _ in news if run.message_id not in self._here)
        self._wanted = {row["message_id"]: row["cancelled_by"] for row in rows}
        for message_id, by in self._wanted.items():
            if run_here := self._here.get(message_id):
                run_here.cancel(by)
