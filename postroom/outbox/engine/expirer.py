"""Ends what nobody claims and whose time is over: parked, or behind a breaker that stays open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from postroom.base.db import Connection, Pool, transaction
from postroom.base.log import get_logger
from postroom.outbox import store
from postroom.outbox.model import Channel, Claim
from postroom.outbox.policy import EXPIRED
from postroom.worker.heartbeat import Worker

log = get_logger(__name__)

BATCH_MAX: Final = 1_000
SCAN_MAX: Final = 5_000
BATCHES_MAX: Final = 20
"""Of each kind in one sweep: the next one goes on where it ended."""
_FIRST: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Ages:
    """The greatest ages. A channel that is not named has none."""

    channels: Mapping[Channel, timedelta]
    parked: timedelta

    def of(self, channel: Channel) -> float:
        """In seconds; infinite where there is none."""
        age = self.channels.get(channel)
        return float("inf") if age is None else age.total_seconds()


class Expirer:
    """Promise: a sweep reads only what is older than the smallest limit, and of that a bounded part.

    What is claimed is judged by who claimed it (see `policy.within`), so a sweep costs the engine nothing.
    Does not promise: the very moment; with a million parked deliveries that are not old enough yet, one that
    is may be found five minutes later.
    """

    def __init__(self, *, pool: Pool, worker: Worker, ages: Ages) -> None:
        self._pool = pool
        self._worker = worker
        self._ages = ages
        self._swept_to = _FIRST

    async def sweep(self) -> int:
        """Returns: how many deliveries were ended."""
        ended_count = 0
        for _ in range(BATCHES_MAX):
            async with transaction(self._pool) as conn:
                ids = await store.take_expiring(conn, batch_max=BATCH_MAX)
                ended_count += await self._bury(
                    conn, await store.claim_expiring(conn, worker=self._worker.id, message_ids=ids)
                )
            if len(ids) < BATCH_MAX:
                break
        ended_count += await self._sweep_aged()
        if ended_count:
            log.warning("deliveries.expired", deliveries=ended_count)
        return ended_count

    async def _sweep_aged(self) -> int:
        ages = {channel.value: age.total_seconds() for channel, age in self._ages.channels.items()}
        parked_s = self._ages.parked.total_seconds()
        ended_count = 0
        for _ in range(BATCHES_MAX):
            async with transaction(self._pool) as conn:
                end = await store.fetch_aged_scan_end(
                    conn, age_s=min(parked_s, *ages.values()), after=self._swept_to, scan_max=SCAN_MAX
                )
                if end is None:
                    self._swept_to = _FIRST
                    break
                claims = await store.claim_aged(
                    conn,
                    worker=self._worker.id,
                    ages_s=ages,
                    parked_s=parked_s,
                    after=self._swept_to,
                    upto=end,
                )
                ended_count += await self._bury(conn, claims)
            self._swept_to = end
        return ended_count

    async def _bury(self, conn: Connection, claims: list[Claim]) -> int:
        await store.settle_claims(conn, [(claim, EXPIRED, 0) for claim in claims])
        return len(claims)
