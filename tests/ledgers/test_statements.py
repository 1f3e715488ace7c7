"""What the run of several ledgers counts: a statement that is for one and reaches another is seen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from postroom.base.db import Pool
from tests.fixtures.ledgers import strangers_in
from tests.processes.statements import Statements, counted, counting

PROGRAM: Final = """
import asyncio, sys
import structlog
from postroom.base.db import open_pool, query

async def main():
    a, b = [await open_pool(each, connections_max=2) for each in sys.argv[1:]]
    await a.execute("select from postroom.message")
    await a.fetch(query("postroom.ledgers", "read_directory"))
    structlog.contextvars.bind_contextvars(ledger="l1")
    async with a.acquire() as conn, conn.transaction():
        await conn.fetchval("select 1")
    await asyncio.create_task(b.executemany("select $1::int", [(1,), (2,)]))
    for pool in (a, b):
        await pool.close()

asyncio.run(main())
"""


def test_a_statement_that_reaches_another_ledger_is_counted(dsns: Mapping[str, str], tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", PROGRAM, dsns["l1"], dsns["l2"]],
        env={**os.environ, **counting(tmp_path)},
        check=True,
        timeout=60,
    )
    databases = {name: dsn.rpartition("/")[2] for name, dsn in dsns.items()}
    assert counted(tmp_path, databases) == Statements(
        processes=1, own=3, across=1, nobodys={"select from postroom.message": 1}
    )


async def test_whose_rows_are_where_they_do_not_belong_is_told(
    pools: Mapping[str, Pool], directory: None
) -> None:
    publish = "select postroom.publish('email', '{\"to\": \"x\"}', tenant => $1)"
    for tenant in ("acme", "other"):
        await pools["l1"].execute(publish, tenant)
    assert await strangers_in(pools["l1"], "l1", {"acme"}) == {"other"}
    assert await strangers_in(pools["l2"], "l2", {"acme"}) == set()
