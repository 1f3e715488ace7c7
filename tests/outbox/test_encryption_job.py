"""The job `encryption` on a ledger of some size."""

from __future__ import annotations

import base64
import secrets
from uuid import UUID

import pytest

from postroom.base.db import Pool, open_pool, query, transaction
from postroom.base.settings import EncryptionSettings
from postroom.encryption.keyring import keyring_of
from postroom.outbox.encryption import MESSAGES
from postroom.outbox.encryption_job import START, encryption_job
from postroom.outbox.ledger.erasure import fetch_batch_end
from postroom.worker.model import JobContext
from tests.fixtures.roles import as_role, pool_as
from tests.outbox.engine.test_relay import MEGABYTES
from tests.outbox.ledger.test_retention import rows_read
from tests.plans.ledger_of_size import FILL

# What autovacuum does by itself where the ledger grows.
SETTLE = "select brin_summarize_new_values('postroom.message_xid')"
PUBLISH = """
select postroom.publish_many(jsonb_agg(
    jsonb_build_object('channel', 'email', 'payload', '{"to": "a"}'::jsonb)))
from generate_series(1, 400)"""


@pytest.mark.rows_by_hand
async def test_a_run_reads_what_it_seals_and_not_the_ledger(dsn: str, pool: Pool) -> None:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    keyring = keyring_of(EncryptionSettings.model_validate({"keys": f"a:{key}"}))
    await pool.execute(FILL)
    await pool.fetchval(SETTLE)
    job = encryption_job(pool=pool_as(pool, "runner"), keyring=keyring)
    await job.run(JobContext(once=True))  # it starts at the present
    for _ in range(10):
        await pool.execute(PUBLISH)
    await pool.fetchval(SETTLE)
    await pool.execute("analyze postroom.message")
    await pool_as(pool, "runner").close()
    await pool.close()
    before = await rows_read(dsn)
    pool = await open_pool(as_role(dsn, "runner"))
    assert await encryption_job(pool=pool, keyring=keyring).run(JobContext(once=True)) == 4_000
    assert await pool.fetchval("select count(*) from postroom.message where payload ? '$'") == 4_000
    await pool.close()
    # Twenty batches that read the ledger would read 1.9 million.
    assert await rows_read(dsn) - before < 950_000


async def test_batches_of_large_payloads_end_at_a_number_of_bytes(pool: Pool) -> None:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    job = encryption_job(
        pool=pool_as(pool, "runner"),
        keyring=keyring_of(EncryptionSettings.model_validate({"keys": f"a:{key}"})),
    )
    await job.run(JobContext(once=True))
    await pool.execute(MEGABYTES)
    last = await pool.fetchval("select id from postroom.message order by id desc limit 1")
    listed = await pool.fetch(query("postroom.outbox", "list_plain_payloads"), 0, 1 << 60, *START, 200)
    assert 1 < len(listed) < listed[0]["found"] == 6
    async with transaction(pool) as conn:
        assert await fetch_batch_end(conn, UUID(int=0), batch_max=200) == listed[-1]["id"]
        assert await conn.fetchval(MESSAGES.mark, *MESSAGES.start, 200) == listed[-1]["id"]
        assert await fetch_batch_end(conn, listed[-1]["id"], batch_max=200) <= last
    assert await job.run(JobContext(once=True)) == 6
    assert await pool.fetchval("select count(*) from postroom.message where payload ? '$'") == 6
