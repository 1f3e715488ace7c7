"""What flowed, sampled by the minute from the counters."""

from __future__ import annotations

from postroom.base.db import Pool
from postroom.base.migrate import migrate
from postroom.metrics.throughput import sample_throughput
from tests.fixtures.roles import pool_as


async def test_what_was_counted_before_it_was_sampled_is_not_of_the_next_minute(dsn: str, pool: Pool) -> None:
    await pool.execute("update postroom.alembic_version set version_num = '0041'")
    await pool.execute(
        """insert into postroom.tally (name, label, shard, value) values
            ('task_attempts', 'delivered shop.sync', 0, 5), ('task_attempts', 'retry shop.sync', 1, 2)"""
    )
    await migrate(dsn)
    await pool.execute("update postroom.tally set value = value + 1 where name = 'task_attempts'")
    await sample_throughput(pool_as(pool, "runner"))
    flow = "select value from postroom.flow where label = 'task_attempts/shop.sync'"
    assert await pool.fetchval(flow) == 2
