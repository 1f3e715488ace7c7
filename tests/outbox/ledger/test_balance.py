"""Adding up the ledger."""

from __future__ import annotations

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
