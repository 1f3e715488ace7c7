"""What is large is compressed by lz4, where this PostgreSQL has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from postroom.base.db import Pool
from postroom.dev.stripe_events import snapshot_event
from tests.fixtures.stripe import Scene

COMPRESSED = """
select pg_column_compression(m.payload) as payload, pg_column_compression(e.raw) as raw,
    pg_column_compression(o.data) as data
from postroom.message m cross join postroom.stripe_event e cross join postroom.stripe_object o
where m.channel = 'export'"""
ROUTES = '[[route]]\non = "invoice.paid"\nexport = { dataset = "invoices" }\n'


async def test_what_a_stripe_event_leaves_is_compressed(pool: Pool, tmp_path: Path) -> None:
    known = await pool.fetchval("select enumvals from pg_settings where name = 'default_toast_compression'")
    if "lz4" not in known:
        pytest.skip("this build of PostgreSQL has no lz4")
    scene = Scene(pool, tmp_path, routes=ROUTES)
    await scene.process(
        snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice", "note": "x " * 3_000})
    )
    assert dict(await scene.row(COMPRESSED)) == {"payload": "lz4", "raw": "lz4", "data": "lz4"}
