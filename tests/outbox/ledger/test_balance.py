"""Adding up the ledger."""

from __future__ import annotations

import asyncio

import asyncpg

from postroom.base.db import Pool
from postroom.outbox.ledger import balance as ledger
from tests.fixtures.engine import Engine, ScriptedAdapter, email


async def test_a_restored_ledger_larger_than_a_batch_is_counted_anew(dsn: str, pool: Pool) -> None:
    """What one statement cannot do in its time is done in several, each of which stays done."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish(email() for _ in range(25))
    assert (await ledger.check_ledger(pool)).published == 25
    await pool.execute("update postroom.message set xid = xid + 1000000000")
    await pool.execute("update postroom.ledger_fold set cluster = 1, xid = xid + 1000000000")
    for _ in range(2):
        balance = await ledger.check_ledger(pool, batch_max=10)
        assert (balance.published, balance.drift) == (25, 0)
    assert await pool.fetchval("select count(*) from postroom.message where xid > 0") == 0
    await engine.publish([email()])
    assert (await ledger.check_ledger(pool)).published == 26


async def test_the_sum_may_find_messages_by_their_transaction(pool: Pool) -> None:
    """Their index is by blocks, which is read by a bitmap only; else every message there is would be read."""
    async with pool.acquire() as conn:
        assert await conn.fetchval("show enable_bitmapscan") == "off", "so are claims kept from sorting"
        async with conn.transaction(isolation="repeatable_read"):
            await ledger.fetch_balance(conn)
            assert await conn.fetchval("show enable_bitmapscan") == "on"


async def test_counting_may_take_longer_than_any_other_statement(dsn: str, pool: Pool) -> None:
    """Of tens of millions it does. Here it waits for a lock; others may take a fifth of a second."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish([email()])
    hasty = await asyncpg.create_pool(dsn, min_size=1, max_size=1, command_timeout=0.2)
    async with pool.acquire() as conn:
        locked = conn.transaction()
        await locked.start()
        await conn.execute("lock table postroom.tally in access exclusive mode")
        checking = asyncio.create_task(ledger.check_ledger(hasty))
        _, pending = await asyncio.wait([checking], timeout=1.0)
        assert pending, "it waits"
        await locked.rollback()
    assert (await asyncio.wait_for(checking, 20)).open == 1
    await hasty.close()
