"""Frees what dead workers held, at once."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from postroom.base.db import Pool, transaction
from postroom.base.log import get_logger
from postroom.outbox import store
from postroom.outbox.model import Abandoned, Channel
from postroom.outbox.policy import settle
from postroom.resilience.backoff import Backoff, Exponential
from postroom.worker import store as workers
from postroom.worker.heartbeat import WORKER_TTL_S, Worker

log = get_logger(__name__)

BATCH_MAX: Final = 1_000
SWEEP_BLOCKS_MAX: Final = 1_000
"""How much of the deliveries one run looks through for claims that were not noted: some milliseconds."""
UNKNOWN: Final = Exponential(attempts_max=12)
"""Of a channel that only a newer version knows: what its dead runner held is freed all the same."""
MAY_BE_SENT: Final = "the worker that held it died; it may have been sent"


class Rescuer:
    """Takes over the claims of workers without a heartbeat.

    Promise: each such delivery is due again at once, and the dead worker can settle none of them any more.
    Only what was surely started has spent an attempt: what waited in the memory of a worker that is killed
    again and again is not killed with it. From then on a delivery is watched (its starts are written
    down), so that one which kills its worker ends as a dead letter. It costs a look at what dead workers
    hold, however much is open. Does not promise: to find soon what a runner of an earlier version held.
    """

    def __init__(self, *, pool: Pool, worker: Worker, backoffs: Mapping[Channel, Backoff]) -> None:
        self._pool = pool
        self._worker = worker
        self._backoffs = {channel.value: backoff for channel, backoff in backoffs.items()}
        self._next_block = 0

    @property
    def may_judge(self) -> bool:
        """Whether this worker has been up for long enough to tell who else is dead."""
        return self._worker.may_judge

    async def rescue(self, *, ttl_s: float = WORKER_TTL_S) -> int:
        """Returns: how many deliveries were freed."""
        async with self._pool.acquire() as conn:
            self._next_block = await store.note_stray_claims(
                conn, first_block=self._next_block, blocks_max=SWEEP_BLOCKS_MAX, ttl_s=ttl_s
            )
            dead = await workers.list_dead(conn, ttl_s=ttl_s)
            missing = await store.list_missing_workers(conn)
        gone = [*dead, *missing]
        freed_count = 0
        while gone:
            batch_count = await self._rescue_batch(gone)
            freed_count += batch_count
            if batch_count < BATCH_MAX:
                break
        for worker in gone:
            async with transaction(self._pool) as conn:
                await workers.remove_worker(conn, worker=worker, ttl_s=ttl_s)
        if dead or freed_count:
            log.warning("worker.rescued", workers=gone, deliveries=freed_count)
        return freed_count

    async def _rescue_batch(self, dead: list[int]) -> int:
        async with transaction(self._pool) as conn:
            freed_count = await store.free_abandoned(
                conn, dead_workers=dead, worker=self._worker.id, batch_max=BATCH_MAX, reason=MAY_BE_SENT
            )
            claims = await store.claim_abandoned(
                conn, dead_workers=dead, worker=self._worker.id, batch_max=BATCH_MAX
            )
            ended = [
                (
                    claim,
                    settle(
                        Abandoned(),
                        attempts=claim.attempts,
                        backoff=self._backoffs.get(claim.channel, UNKNOWN),
                        jitter=random.random(),  # noqa: S311  jitter, not a secret
                    ),
                    0,
                )
                for claim in claims
            ]
            await store.settle_claims(conn, ended)
        return freed_count + len(claims)
