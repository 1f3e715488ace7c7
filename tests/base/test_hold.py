"""What a migration locks: when nobody has it, in the end; until then nobody waits longer than a second."""

from __future__ import annotations

import asyncio

from postroom.base.db import Connection, Pool, connect, transaction
from postroom.base.migrate import migrate

HELD = """
select count(*) from pg_locks l join pg_class c on c.oid = l.relation
where c.relname in ('token', 'audit') and l.mode = 'AccessExclusiveLock' and l.granted = $1"""

WAITS = "select count(*) from pg_locks where relation = 'postroom.stripe_object'::regclass and not granted"


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


async def test_an_upgrade_waits_for_the_mirror_before_it_locks_messages(dsn: str, pool: Pool) -> None:
    """All migrations are one transaction: who has the mirror, and goes on to messages, would wait for it."""
    await pool.execute("alter table postroom.stripe_access drop constraint stripe_access_mirrored")
    await pool.execute("update postroom.alembic_version set version_num = '0011'")
    runner = await connect(dsn)
    async with asyncio.timeout(120):
        processing = runner.transaction()
        await processing.start()
        await runner.execute("lock table postroom.stripe_object in row exclusive mode")
        upgrade = asyncio.create_task(migrate(dsn))
        while not await pool.fetchval(WAITS):
            await asyncio.sleep(0.01)
        await runner.execute("set local lock_timeout = '5s'")
        await runner.execute("lock table postroom.message in row exclusive mode")
        await processing.commit()
        await upgrade
    await runner.close()
