"""What a migration locks: when nobody has it, in the end; until then nobody waits longer than a second."""

from __future__ import annotations

import asyncio

from postroom.base.db import Connection, Pool, connect, transaction

HELD = """
select count(*) from pg_locks l join pg_class c on c.oid = l.relation
where c.relname in ('token', 'audit') and l.mode = 'AccessExclusiveLock' and l.granted = $1"""


async def hold(conn: Connection) -> None:
    await conn.execute("set local lock_timeout = '7s'")
    await conn.execute("select postroom.hold('postroom.audit', 'postroom.token')")


async def test_it_waits_for_whoever_has_them_a_second_at_a_time(dsn: str, pool: Pool) -> None:
    reader = await connect(dsn)
    reading = reader.transaction()
    await reading.start()
    await reader.execute("select from postroom.token")
    async with asyncio.timeout(60), transaction(pool) as conn:
        holding = asyncio.create_task(hold(conn))
        while not await pool.fetchval(HELD, False):
            await asyncio.sleep(0.01)
        while await pool.fetchval(HELD, True) + await pool.fetchval(HELD, False):
            await asyncio.sleep(0.01)  # while it pauses, whoever comes gets in
        assert not holding.done()
        await reading.rollback()
        await holding
        assert await pool.fetchval(HELD, True) == 2
        assert await conn.fetchval("show lock_timeout") == "7s"
    await reader.close()
    assert await pool.fetchval(HELD, True) == 0
