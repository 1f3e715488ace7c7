"""Retention empties a payload that is being sent again in this moment."""

from __future__ import annotations

import asyncio

from postroom.base.db import Pool, transaction
from postroom.base.settings import RetentionSettings
from postroom.outbox.ledger import recovery
from postroom.outbox.ledger.retention import retention_job
from postroom.worker.model import JobContext
from tests.fixtures.engine import Engine
from tests.outbox.ledger.test_recovery import all_of, endpoint, order, start, webhooks  # noqa: F401

WAITING = "select count(*) from pg_locks where not granted"


async def test_what_is_being_recovered_keeps_its_payload(webhooks: Engine, pool: Pool) -> None:  # noqa: F811
    await webhooks.publish([order()])
    await pool.execute("update postroom.message set created_at = created_at - interval '2 days'")
    late = await endpoint(pool)
    run_id = await start(pool, all_of(late))
    async with transaction(pool) as conn:
        assert (await recovery.carry_on(conn, run_id))[0] == 1
        job = retention_job(pool=pool, keep=RetentionSettings(delivered_payload_days=1))
        sweep = asyncio.ensure_future(job.run(JobContext(once=True)))
        async with asyncio.timeout(5):
            while not sweep.done() and not await pool.fetchval(WAITING):
                await asyncio.sleep(0.01)
    await sweep
    assert await pool.fetchval("select payload <> '{}' from postroom.message")
