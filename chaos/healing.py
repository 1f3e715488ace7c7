"""After the faults: time passes quickly, an operator replays, until nothing is left to do."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Final

from chaos.tasks import TICK
from postroom.base.db import DATABASE_AWAY, DATABASE_BUSY, Pool, transaction
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import replay_dead_letters

POLL_S: Final = 0.5
HURRY_EVERY_S: Final = 1.5
ACTOR: Final = "chaos"
LETTERS_MAX: Final = 1_000
HURRY: Final = (
    "update postroom.delivery set due_at = now()"
    " where last_reason is not null and worker is null and due_at > now() and due_at < 'infinity'",
    "update postroom.circuit set retry_at = now() where retry_at > now() and not forced",
)
# In one look: what a schedule is due is published in the transaction that says up to when it is.
OPEN: Final = (
    "select exists (select from postroom.delivery)"
    " or not exists (select from postroom.schedule where name = $1 and last_at >= $2)"
)
WAITS: Final = (
    "select channel, destination, state, attempts, worker, due_at - now() as due_in, last_reason"
    " from postroom.delivery order by seq limit 10"
)
PUBLISHED_UP_TO: Final = "select last_at from postroom.schedule where name = $1"


async def hurry(pool: Pool) -> None:
    """Make due what was tried or put off, and let breakers try: minutes become seconds.

    A first attempt, too, is put off for up to six minutes by a breaker that has opened many times in a row.
    """
    async with transaction(pool) as conn:
        for statement in HURRY:
            await conn.execute(statement)


async def hurrying(pool: Pool) -> None:
    """Until cancelled. A database that is away is the plan's own doing."""
    while True:
        with suppress(*DATABASE_AWAY, *DATABASE_BUSY):
            await hurry(pool)
        await asyncio.sleep(HURRY_EVERY_S)


async def replay_letters(pool: Pool) -> int:
    """Everything that died, as an operator would once all is mended. Returns: how many."""
    count = 0
    while True:
        async with transaction(pool) as conn:
            replayed = await replay_dead_letters(conn, DeadLetterFilter(), actor=ACTOR, limit=LETTERS_MAX)
        count += replayed.count
        if replayed.count < LETTERS_MAX:
            return count


async def wait_for_quiet(pool: Pool, *, ticks_until: datetime, limit_s: float) -> bool:
    """Until nothing is open, and the schedule is published up to `ticks_until`.

    Returns: False, with what still waits on standard output, after `limit_s`.
    """
    try:
        async with asyncio.timeout(limit_s):
            while await pool.fetchval(OPEN, TICK, ticks_until):
                await hurry(pool)
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        for row in await pool.fetch(WAITS):
            print(f"chaos: still open: {dict(row)}", flush=True)
        upto = await pool.fetchval(PUBLISHED_UP_TO, TICK)
        print(f"chaos: the schedule is published up to {upto}, wanted is {ticks_until}", flush=True)
        return False
    return True
