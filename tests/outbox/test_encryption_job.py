"""The job `encryption` on a ledger of some size."""

from __future__ import annotations

import base64
import secrets

import pytest

from postroom.base.db import Pool, open_pool
from postroom.base.settings import EncryptionSettings
from postroom.encryption.keyring import keyring_of
from postroom.outbox.encryption_job import encryption_job
from postroom.worker.model import JobContext
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
    keyring = keyring_of(EncryptionSettings.model_validate({"keys": f"a:{key}"}).keys)
    await pool.execute(FILL)
    await pool.fetchval(SETTLE)
    await encryption_job(pool=pool, keyring=keyring).run(JobContext(once=True))  # it starts at the present
    for _ in range(10):
        await pool.execute(PUBLISH)
    await pool.fetchval(SETTLE)
    await pool.execute("analyze postroom.message")
    await pool.close()
    before = await rows_read(dsn)
    pool = await open_pool(dsn)
    assert await encryption_job(pool=pool, keyring=keyring).run(JobContext(once=True)) == 4_000
    assert await pool.fetchval("select count(*) from postroom.message where payload ? '$'") == 4_000
    await pool.close()
    # Twenty batches that read the ledger would read 1.9 million.
    assert await rows_read(dsn) - before < 950_000
