"""Settling in batches: one statement and one commit for what ended in the meantime."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from postroom.base.db import DATABASE_FAILURES, DATABASE_REFUSALS, Connection, Pool
from postroom.base.log import get_logger
from postroom.outbox import store
from postroom.outbox.model import Claim
from postroom.outbox.policy import Settlement, Verdict
from postroom.outbox.store import Ended

log = get_logger(__name__)

BATCH_MAX: Final = 1_000
BUSY_MIN: Final = 20
LINGER_S: Final = 0.005
"""After a batch of `BUSY_MIN` the next one gathers a moment more."""
GATHER_S: Final = 0.02
GATHERED_MIN: Final = 50
STREAM_S: Final = 0.1
"""What follows the last settlement so soon is a stream: it gathers `GATHERED_MIN`, or for `GATHER_S`. A
settlement takes 600 µs of PostgreSQL and Python, for one as for a dozen."""
AGAIN_S: Final = 0.5
NAMED_MAX: Final = 100
ENDED_MAX: Final = 10_000
"""What is not remembered is found when claiming starts over."""

Result = TypeVar("Result")


class Settler:
    """Collects what ended and writes it down.

    Promise: what was handed in is settled, or was lost to another worker by the fence. A database
    that is away is asked again; the claims stay held meanwhile, so nothing is sent again by us. One that
    it refuses never holds up the ones beside it: it is settled without the texts of its answer.
    Limit: holds no more than the relay has places.
    """

    def __init__(
        self, *, pool: Pool, wake: Callable[[], None], ended: Callable[[Claim], None] = lambda _: None
    ) -> None:
        """`wake` is called when one with an ordering key has ended, for the next may go; `ended` for all."""
        self._pool = pool
        self._wake = wake
        self._ended_claim = ended
        self._waiting: list[Ended] = []
        self._filled = asyncio.Event()
        self._hurry = asyncio.Event()
        self._freed = asyncio.Event()
        self._failure: BaseException | None = None
        self._ended: dict[store.OrderedBy, None] = {}
        self._ended_of_crowd: dict[store.OrderedBy, None] = {}
        self.unsettled = 0
        self.settled_count = 0

    def hand_in(self, claim: Claim, settlement: Settlement, duration_ms: int) -> None:
        self._waiting.append((claim, settlement, duration_ms))
        self.unsettled += 1
        self._filled.set()
        if claim.ordering_key is not None or len(self._waiting) >= GATHERED_MIN:
            self._hurry.set()

    def free_place(self, claim: Claim) -> None:
        """Something ended that needs no settling here."""
        self._note_end(claim)
        self._ended_claim(claim)
        self._freed.set()

    def _note_end(self, claim: Claim) -> None:
        if claim.ordering_key is None:
            return
        ended = self._ended_of_crowd if claim.crowds else self._ended
        if len(ended) < ENDED_MAX:
            ended[claim.ordering_key, claim.destination] = None
            self._wake()

    @property
    def next_may_go(self) -> bool:
        """Whether `take_ended` has something."""
        return bool(self._ended or self._ended_of_crowd)

    def take_ended(self, most: int, *, full: Sequence[str]) -> list[store.OrderedBy]:
        """Where one has ended and the next may go; at most `most`, none of the destinations `full`. Where a
        tenant crowds, the others come first."""
        waiting = chain(self._ended, self._ended_of_crowd)
        taken = list(islice((each for each in waiting if each[1] not in full), most))
        for each in taken:
            self._ended.pop(each, None)
            self._ended_of_crowd.pop(each, None)
        return taken

    async def freed(self) -> None:
        """Wait until something more has ended. Errors: `RuntimeError` when settling itself broke."""
        self._freed.clear()
        self._hurry.set()
        if self._failure is None:
            await self._freed.wait()
        if self._failure is not None:
            raise RuntimeError("settling broke; what is held is handed back") from self._failure

    async def run(self) -> None:
        """Settle until cancelled; cancel it only when `unsettled` is 0.

        Nothing but a fault of ours ends it otherwise; `freed` then tells whoever waits for it.
        """
        try:
            await self._settle_on()
        except BaseException as failure:
            self._failure = failure
            self._freed.set()
            raise

    async def _settle_on(self) -> None:
        size, ended_at = 0, float("-inf")
        while True:
            await self._filled.wait()
            await self._gather(size, ended_at)
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            if not self._waiting:
                self._filled.clear()
            self._hurry.clear()
            await self._settle(batch)
            size, ended_at = len(batch), asyncio.get_running_loop().time()
            for claim, _, _ in batch:
                self._ended_claim(claim)
            self.unsettled -= len(batch)
            self._freed.set()

    async def _gather(self, last_size: int, last_ended_at: float) -> None:
        """Let more come, where more is to be expected and nobody waits for what is here."""
        if last_size >= BUSY_MIN:
            if len(self._waiting) < BATCH_MAX:
                await asyncio.sleep(LINGER_S)
        elif asyncio.get_running_loop().time() - last_ended_at < STREAM_S:
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_S):
                    await self._hurry.wait()

    async def _settle(self, batch: list[Ended]) -> None:
        lost = await self._written(batch)
        self.settled_count += len(batch) - len(lost)
        if lost:
            await self._note_lost([each for each in batch if (each[0].message_id, each[0].n) in lost])
        logs_deliveries = log.is_enabled_for(logging.INFO)  # once a batch
        for claim, settlement, duration_ms in batch:
            if lost and (claim.message_id, claim.n) in lost:
                continue
            if settlement.verdict in (Verdict.DELIVERED, Verdict.DEAD):
                self._note_end(claim)
            if settlement.verdict is Verdict.DELIVERED:
                if logs_deliveries:
                    _log_attempt(log.info, claim, settlement, duration_ms)
            elif settlement.verdict is not Verdict.DEFERRED:
                _log_attempt(log.warning, claim, settlement, duration_ms)

    async def _note_lost(self, lost: list[Ended]) -> None:
        """An attempt that was made is in the log, though somebody else settles the delivery."""
        for claim, settlement, _ in lost:
            log.warning(
                "delivery.lost_claim", message_id=str(claim.message_id), n=claim.n, outcome=settlement.outcome
            )
        made = [each for each in lost if each[1].verdict is not Verdict.DEFERRED]
        if made:
            try:
                await self._persist(made, store.log_lost_claims, again_on_refusal=False)
            except DATABASE_REFUSALS:
                textless = [(claim, _textless(settlement), took_ms) for claim, settlement, took_ms in made]
                await self._persist(textless, store.log_lost_claims)

    async def _written(self, batch: list[Ended]) -> set[tuple[UUID, int]]:
        try:
            return await self._persist(batch, store.settle_claims, again_on_refusal=False)
        except DATABASE_REFUSALS as error:
            if middle := len(batch) // 2:
                return await self._written(batch[:middle]) | await self._written(batch[middle:])
            [(claim, settlement, duration_ms)] = batch
            # Only the kind of error: its text may repeat what a receiver said.
            kind = type(error).__name__
            log.warning("settle.refused", message_id=str(claim.message_id), n=claim.n, error=kind)
            return await self._persist([(claim, _textless(settlement), duration_ms)], store.settle_claims)

    async def _persist(
        self,
        batch: list[Ended],
        write: Callable[[Connection, Sequence[Ended]], Awaitable[Result]],
        *,
        again_on_refusal: bool = True,
    ) -> Result:
        first = True
        while True:
            try:
                # One statement: it commits by itself, without the way there and back of a BEGIN and a COMMIT.
                async with self._pool.acquire() as conn:
                    return await write(conn, batch)
            except DATABASE_FAILURES as error:
                if isinstance(error, DATABASE_REFUSALS) and not again_on_refusal:
                    raise
                _log_not_written(batch, error, first=first)
                first = False
                await asyncio.sleep(AGAIN_S)


def _textless(settlement: Settlement) -> Settlement:
    reason = settlement.reason and "what was answered cannot be stored"
    return msgspec.structs.replace(settlement, code=None, detail=None, reason=reason)


def _log_not_written(batch: Sequence[Ended], error: BaseException, *, first: bool) -> None:
    """Names what was tried, once: if this process dies too, nothing else tells that it may have been sent."""
    tried = [claim for claim, settlement, _ in batch if settlement.verdict is not Verdict.DEFERRED]
    named = {
        "channel": batch[0][0].channel,
        "deliveries": [f"{claim.message_id}/{claim.n}" for claim in tried[:NAMED_MAX]],
    }
    log.warning("settle.not_written", waiting=len(batch), error=repr(error), **(named if first else {}))


def _log_attempt(say: Callable[..., object], claim: Claim, settlement: Settlement, duration_ms: int) -> None:
    """One wide line an attempt; never payloads."""
    say(
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
