"""Starts that are written down first: those of deliveries whose worker has died."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from postroom.base.db import DATABASE_FAILURES, Pool
from postroom.outbox import store
from postroom.outbox.model import Answer, Claim, Deferred, Try, Wait, database_away

TURN_S: Final = 1.0
_NOT_YET: Final = Deferred(
    Wait.DESTINATION_FULL, "another one that may have killed a worker goes first", TURN_S
)
_LOST: Final = Deferred(Wait.DATABASE_AWAY, "somebody else has taken it over")


class WatchedStarts:
    """Writes down that watched deliveries are started; those that may have killed a worker go one at a time.

    Promise: if the worker dies now, only what it had started has spent an attempt, and of those that were
    under way when an earlier one died, only one. What cannot be written down is not started.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._alone = asyncio.Lock()

    async def tried(self, claims: Sequence[Claim], attempt: Try) -> Sequence[Answer]:
        """One answer each, in order."""
        others = [claim for claim in claims if not claim.started_no]
        answers = await self._written_down(others, attempt)
        for claim in claims:
            if claim.started_no and self._alone.locked():
                answers[claim.message_id, claim.n] = (
                    _NOT_YET  # it must not hold a place that others could use
                )
            elif claim.started_no:
                async with self._alone:
                    answers |= await self._written_down([claim], attempt)
        return [answers[claim.message_id, claim.n] for claim in claims]

    async def _written_down(self, claims: Sequence[Claim], attempt: Try) -> dict[tuple[UUID, int], Answer]:
        if not claims:
            return {}
        try:
            async with self._pool.acquire() as conn:
                held = await store.mark_started(conn, claims)
        except DATABASE_FAILURES as error:
            return {(claim.message_id, claim.n): database_away(error) for claim in claims}
        started = [claim for claim in claims if (claim.message_id, claim.n) in held]
        answers: dict[tuple[UUID, int], Answer] = {(claim.message_id, claim.n): _LOST for claim in claims}
        if started:
            tried = zip(started, await attempt(started), strict=True)
            answers |= {(claim.message_id, claim.n): answer for claim, answer in tried}
        return answers
