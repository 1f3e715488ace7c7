"""Where nobody uses tenants, nobody waits behind one."""

from __future__ import annotations

from postroom.base.db import Pool
from postroom.health.crowding import check_crowding
from tests.fixtures.engine import Engine, ScriptedAdapter, email


async def test_a_backlog_without_any_tenant_is_nobodys(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish(email() for _ in range(60))
    await engine.travel(60)
    async with pool.acquire() as conn:
        assert await check_crowding(conn) == []
