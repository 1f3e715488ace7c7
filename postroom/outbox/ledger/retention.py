"""What is kept for how long. Everything that grows has a limit, and this is where it is enforced."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg

from postroom.base.db import Pool, query, transaction
from postroom.base.log import get_logger
from postroom.base.settings import RetentionSettings
from postroom.resilience import store as circuits
from postroom.worker import store as workers
from postroom.worker.model import Job, JobContext

log = get_logger(__name__)

_MAKE_PARTITIONS = query(__package__, "make_partitions")
_DROP_PARTITIONS = query(__package__, "drop_partitions")
_PRUNE_STRAY_ATTEMPTS = query(__package__, "prune_stray_attempts")
_EMPTY_PAYLOADS = query(__package__, "empty_payloads")
_EMPTY_KEPT_PAYLOADS = query(__package__, "empty_kept_payloads")
_DISCARD_LETTERS = query(__package__, "discard_letters")
_PRUNE_MESSAGES = query(__package__, "prune_messages")

PARTITION_DAYS_AHEAD = 7
BATCH_MAX = 1_000
KEPT_LOOKED_AT_DAYS = 1
JOB_RUNS_KEPT_MAX = 500
EVERY_S = 600.0

Extra = Callable[[], Awaitable[int]]


def retention_job(*, pool: Pool, keep: RetentionSettings, extras: tuple[Extra, ...] = ()) -> Job:
    """Prunes in batches, each its own transaction, so that it never holds a lock for long.

    `extras`: what other packages prune of their own tables; each returns how many rows.
    """

    async def batch(sql: str, days: int) -> int:
        async with transaction(pool) as conn:
            count: int = await conn.fetchval(sql, days, BATCH_MAX)
            return count

    async def partition() -> int:
        """A dump may hold the log for hours. What cannot be done now is done later: there is a week."""
        try:
            async with transaction(pool) as conn:
                await conn.execute(_MAKE_PARTITIONS, PARTITION_DAYS_AHEAD)
                dropped: int = await conn.fetchval(_DROP_PARTITIONS, keep.attempt_days)
        except asyncpg.LockNotAvailableError:
            log.warning("retention.attempt_log_busy", detail="somebody reads it in a long transaction")
            return 0
        return dropped

    async def run(context: JobContext) -> int:
        pruned = await partition()
        async with transaction(pool) as conn:
            await workers.prune_job_runs(conn, kept_max=JOB_RUNS_KEPT_MAX)
            await circuits.prune_circuits(conn)
        for sql, days in (
            (_PRUNE_STRAY_ATTEMPTS, keep.attempt_days),
            (_EMPTY_PAYLOADS, keep.delivered_payload_days),
            (_EMPTY_KEPT_PAYLOADS, KEPT_LOOKED_AT_DAYS),
            (_DISCARD_LETTERS, keep.dead_payload_days),
            (_PRUNE_MESSAGES, keep.message_days),
        ):
            count = BATCH_MAX
            while count == BATCH_MAX and not context.stop.is_set():
                count = await batch(sql, days)
                pruned += count
        for extra in extras:
            pruned += await extra()
        return pruned

    return Job(name="retention", run=run, every_s=EVERY_S)
