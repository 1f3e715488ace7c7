"""What is kept for how long. Everything that grows has a limit, and this is where it is enforced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from uuid import UUID

import asyncpg

from postroom.base.clock import Clock, SystemClock
from postroom.base.db import Connection, Pool, fetch_one, query, transaction
from postroom.base.log import get_logger
from postroom.base.settings import RetentionSettings
from postroom.outbox.ledger.turns import Sweep, take_turns
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
_IS_ANY_SENT_AGAIN = query(__package__, "is_any_sent_again")
_PRUNE_MESSAGES = query(__package__, "prune_messages")
_PRUNE_UNIQUE_KEYS = query(__package__, "prune_unique_keys")

PARTITION_DAYS_AHEAD = 7
BATCH_MAX = 1_000
KEPT_LOOKED_AT_DAYS = 1
JOB_RUNS_KEPT_MAX = 500
EVERY_S = 300.0
WITHIN_S = 240.0
"""How long a run may take; what is left by then is the next one's."""
SHARE = 1 / 8
"""Of the time that it works; the rest of a busy server is its publishers' and runners'."""

Prune = Callable[[Connection, int], Awaitable[int]]
"""Prunes at most so many rows, in the caller's transaction. Returns how many it were."""


def retention_job(
    *, pool: Pool, keep: RetentionSettings, extras: tuple[Prune, ...] = (), clock: Clock | None = None
) -> Job:
    """Prunes in batches, each its own transaction, so that it never holds a lock for long.

    Promise: however much there is to do, publishers keep 0.9 of their rate, each kind of row has its
    turn, and the run ends in time, as a success. That is some 2,500 rows a second; `once` does not rest.
    `extras`: what other packages prune of their own tables.
    """
    prunes = (
        _by_age(_PRUNE_STRAY_ATTEMPTS, keep.attempt_days),
        _emptying(_EMPTY_PAYLOADS, keep.delivered_payload_days),
        _emptying(_EMPTY_KEPT_PAYLOADS, KEPT_LOOKED_AT_DAYS),
        _by_age(_DISCARD_LETTERS, keep.dead_payload_days),
        _prune_unique_keys,
        *extras,
    )

    async def batch(prune: Prune) -> tuple[int, bool]:
        try:
            async with transaction(pool) as conn:
                count = await prune(conn, BATCH_MAX)
        except _SentAgain:
            return 0, False
        return count, count >= BATCH_MAX

    async def run(context: JobContext) -> int:
        dropped = await _partition(pool, keep)
        async with transaction(pool) as conn:
            await workers.prune_job_runs(conn, kept_max=JOB_RUNS_KEPT_MAX)
            await circuits.prune_circuits(conn)

        async def rest(seconds: float) -> bool:
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if context.once else seconds):
                    await context.stop.wait()
            return not context.stop.is_set()

        return dropped + await take_turns(
            [*(partial(batch, prune) for prune in prunes), _messages(pool, keep.message_days)],
            clock=clock or SystemClock(),
            within_s=WITHIN_S,
            share=SHARE,
            rest=rest,
        )

    return Job(name="retention", run=run, every_s=EVERY_S)


def _by_age(sql: str, days: int) -> Prune:
    async def prune(conn: Connection, limit: int) -> int:
        count: int = await conn.fetchval(sql, days, limit)
        return count

    return prune


async def _prune_unique_keys(conn: Connection, limit: int) -> int:
    count: int = await conn.fetchval(_PRUNE_UNIQUE_KEYS, limit)
    return count


class _SentAgain(Exception):
    """Somebody sends one of the batch again: all of it is left to the next run, which sees that."""


def _emptying(sql: str, days: int) -> Prune:
    async def prune(conn: Connection, limit: int) -> int:
        found = await fetch_one(conn, sql, days, limit)
        if found["emptied"] and await conn.fetchval(_IS_ANY_SENT_AGAIN, found["emptied"]):
            raise _SentAgain
        return int(found["looked"])

    return prune


def _messages(pool: Pool, days: int) -> Sweep:
    """Walks over all that are past their time, once: what went leaves index entries until the next vacuum,
    and what must stay is asked about, so that to begin anew with each batch would cost ever more."""
    after = UUID(int=0)

    async def sweep() -> tuple[int, bool]:
        nonlocal after
        async with transaction(pool) as conn:
            found = await fetch_one(conn, _PRUNE_MESSAGES, days, BATCH_MAX, after)
        after = found["last"] or after
        return found["gone"], found["looked"] >= BATCH_MAX

    return sweep


async def _partition(pool: Pool, keep: RetentionSettings) -> int:
    """A dump may hold the log for hours. What cannot be done now is done later: there is a week."""
    try:
        async with transaction(pool) as conn:
            await conn.execute(_MAKE_PARTITIONS, PARTITION_DAYS_AHEAD)
            dropped: int = await conn.fetchval(_DROP_PARTITIONS, keep.attempt_days)
    except asyncpg.LockNotAvailableError:
        log.warning("retention.attempt_log_busy", detail="somebody reads it in a long transaction")
        return 0
    return dropped
