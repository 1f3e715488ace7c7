"""What one claim brings, and forgetting claims while somebody holds an old snapshot."""

from __future__ import annotations

import json

from postroom.base.db import Pool, query
from tests.fixtures.engine import Engine, ScriptedAdapter, email

FORGET = query("postroom.outbox", "forget_claims")
MADE = """
insert into postroom.claim_batch (worker, channel, message_ids, ns)
select $1, 'email', array[gen_random_uuid()], array[0::smallint] from generate_series(1, $2) returning id
"""


UPSIDE_DOWN = """
update postroom.delivery set due_at = now() - seq * interval '1 s',
    state = case when seq % 3 = 0 then 'retry' else state end, attempts = (seq % 3 = 0)::int"""


async def test_a_claim_is_in_the_order_in_which_it_became_due_retries_among_the_others(
    dsn: str, pool: Pool
) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    published = await engine.publish([email() for _ in range(9)])
    await pool.execute(UPSIDE_DOWN)
    claims = await engine.claim(9)
    assert [claim.message_id for claim in claims] == published[::-1]
    assert {claim.attempts for claim in claims} == {0, 1}


async def pages(pool: Pool, ids: list[int]) -> tuple[int, float]:
    async with pool.acquire() as conn, conn.transaction():
        rows = await conn.fetchval("explain (analyze, buffers, format json) " + FORGET, ids)
    plan = json.loads(rows)[0]
    return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"], plan["Execution Time"]


async def test_forgetting_a_claim_costs_the_same_while_somebody_holds_an_old_snapshot(
    dsn: str, pool: Pool
) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    worker = engine.worker.id
    await pool.execute("analyze postroom.claim_batch")
    async with pool.acquire() as old:
        snapshot = old.transaction(isolation="repeatable_read")
        await snapshot.start()
        await old.fetchval("select count(*) from postroom.message")
        costs = []
        for _ in range(6):
            [row] = await pool.fetch(MADE, worker, 1)
            costs.append(await pages(pool, [row["id"]]))
            gone = [each["id"] for each in await pool.fetch(MADE, worker, 10_000)]
            await pool.execute(FORGET, gone)
        await snapshot.rollback()
    assert costs[-1][0] < 10 * costs[0][0] + 100, costs
