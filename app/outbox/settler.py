"""Settling in batches: one statement and one commit for what ended in the meantime."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from app.base.db import DATABASE_FAILURES, Pool, transaction
from app.base.log import get_logger
from app.outbox import store
from app.outbox.model import Claim
from app.outbox.policy import Settlement, Verdict

log = get_logger(__name__)

BATCH_MAX: Final = 1_000
AGAIN_S: Final = 0.5

Ended = tuple[Claim, Settlement, int]


class Settler:
    """Collects what ended and writes it down.

    Promise: what was handed in is settled, or was lost to another worker by the fence. A database
    that is away or refuses is asked again; the claims stay held meanwhile, so nothing is sent again by us.
    Limit: holds no more than the relay has in flight.
    """

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool
        self._waiting: list[Ended] = []
        self._filled = asyncio.Event()
        self._freed = asyncio.Event()
        self.unsettled = 0
        self.settled_count = 0

    def hand_in(self, claim: Claim, settlement: Settlement, duration_ms: int) -> None:
        self._waiting.append((claim, settlement, duration_ms))
        self.unsettled += 1
        self._filled.set()

    def free_place(self) -> None:
        """Something ended that needs no settling here."""
        self._freed.set()

    async def freed(self) -> None:
        """Wait until something more has ended."""
        self._freed.clear()
        await self._freed.wait()

    async def run(self) -> None:
        """Settle until cancelled; cancel it only when `unsettled` is 0."""
        while True:
            await self._filled.wait()
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            if not self._waiting:
                self._filled.clear()
            await self._settle(batch)
            self.unsettled -= len(batch)
            self._freed.set()

    async def _settle(self, batch: list[Ended]) -> None:
        held = await self._written(batch)
        self.settled_count += len(held)
        for claim, settlement, duration_ms in batch:
            if (claim.message_id, claim.n) not in held:
                log.warning("delivery.lost_claim", message_id=str(claim.message_id), n=claim.n)
            elif settlement.verdict is not Verdict.DEFERRED:
                _log_attempt(claim, settlement, duration_ms)

    async def _written(self, batch: list[Ended]) -> set[tuple[UUID, int]]:
        while True:
            try:
                async with transaction(self._pool) as conn:
                    return await store.settle_claims(conn, batch)
            except DATABASE_FAILURES as error:
                log.warning("settle.not_written", waiting=len(batch), error=repr(error))
                await asyncio.sleep(AGAIN_S)


def _log_attempt(claim: Claim, settlement: Settlement, duration_ms: int) -> None:
    """One wide line an attempt; never payloads."""
    level = log.info if settlement.verdict is Verdict.DELIVERED else log.warning
    level(
        "delivery.attempt",
        message_id=str(claim.message_id),
        n=claim.n,
        channel=claim.channel,
        destination=claim.destination,
        type=claim.type,
        correlation_id=claim.correlation_id,
        attempt=claim.attempts + 1,
        verdict=settlement.verdict.value,
        outcome=settlement.outcome,
        code=settlement.code,
        reason=settlement.reason,
        delay_s=round(settlement.delay_s, 1),
        duration_ms=duration_ms,
    )
