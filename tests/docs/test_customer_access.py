"""The query of the page about access does what the page says, as an application of its own."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from postroom.base.db import Pool
from tests.channels.stripe.test_customer_access import NOW, changed, entitled, subscription, summary
from tests.conftest import run_sql
from tests.fixtures.stripe import Scene

SAMPLES = Path(__file__).resolve().parents[2] / "docs/samples/access"


async def test_an_application_asks_at_login(dsn: str, pool: Pool, tmp_path: Path) -> None:
    scene = Scene(pool, tmp_path)
    await scene.process(changed(subscription(), NOW))
    await scene.process(changed(subscription("sub_2", products=("prod_2",), status="unpaid"), NOW))
    await scene.process(entitled(summary("sso"), NOW))
    await scene.close()
    await run_sql(dsn, "create role shop login password 'shop'")
    try:
        await run_sql(dsn, (SAMPLES / "grant.sql").read_text())
        parts = urlsplit(dsn)
        place = parts.netloc.rpartition("@")[2]
        conn = await asyncpg.connect(urlunsplit(parts._replace(netloc=f"shop:shop@{place}")))
        rows = await conn.fetch((SAMPLES / "login.sql").read_text(), "cus_1")
        assert await conn.fetchrow((SAMPLES / "refreshed.sql").read_text(), "cus_1", rows[0]["as_of"]) is None
        await conn.close()
    finally:
        await run_sql(dsn, "drop owned by shop; drop role shop")
    assert sorted((row["name"], row["why"]) for row in rows) == [("prod_1", "active"), ("sso", "active")]
