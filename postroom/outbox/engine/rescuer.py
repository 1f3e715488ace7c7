"""Frees what dead workers held, at once."""

from __future__ import annotations

import random

from postroom.base.clock import Clock, SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.log import get_logger
from postroom.outbox import store
from postroom.outbox.model import Abandoned, Channel
from postroom.outbox.policy import settle
from postroom.resilience.backoff import Backoff
from postroom.worker import store as workers
from postroom.worker.heartbeat import WORKER_TTL_S, Worker

log = get_logger(__name__)

BATCH_MAX = 1_000
SWEEP_S = 30.0


class Rescuer:
    """Takes over the claims of workers without a heartbeat and settles them as abandoned.

    Promise: each such delivery is due again at once, with one attempt spent, so that a message that
    kills its worker ends as a dead letter; the dead worker can settle none of them any more.
    A claim that committed when its worker was buried already is found within `SWEEP_S`.
    """

    def __init__(
        self, *, pool: Pool, worker: Worker, backoffs: dict[Channel, Backoff], clock: Clock | None = None
    ) -> None:
        self._pool = pool
        self._worker = worker
        self._backoffs = backoffs
        self._clock = clock or SystemClock()
        self._swept_at = float("-inf")

    async def rescue(self, *, ttl_s: float = WORKER_TTL_S) -> int:
        """Returns: how many deliveries were freed."""
        async with self._pool.acquire() as conn:
            dead = await workers.list_dead(conn, ttl_s=ttl_s)
            if self._clock.monotonic() - self._swept_at > SWEEP_S:
                dead += await store.list_missing_workers(conn)
                self._swept_at = self._clock.monotonic()
        freed_count = 0
        while dead:
            batch_count = await self._rescue_batch(dead)
            freed_count += batch_count
            if batch_count < BATCH_MAX:
                break
        for worker in dead:
            async with transaction(self._pool) as conn:
                await workers.remove_worker(conn, worker=worker, ttl_s=ttl_s)
        if dead:
            log.warning("worker.rescued", workers=dead, deliveries=freed_count)
        return freed_count

    async def _rescue_batch(self, dead: list[int]) -> int:
        async with transaction(self._pool) as conn:
            claims = await store.claim_abandoned(
                conn, dead_workers=dead, worker=self._worker.id, batch_max=BATCH_MAX
            )
            ended = [
                (
                    claim,
                    settle(
                        Abandoned(),
                        attempts=claim.attempts,
                        backoff=self._backoffs[Channel(claim.channel)],
                        jitter=random.random(),  # noqa: S311  jitter, not a secret
                    ),
                    0,
                )
                for claim in claims
            ]
            await store.settle_claims(conn, ended)
        return len(claims)
