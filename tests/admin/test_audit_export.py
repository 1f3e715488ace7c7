"""The audit trail as those keep it who need it for years: complete, in order, and however long it is."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from postroom.admin import audit
from postroom.admin.audit import Actor, record
from postroom.base.db import Pool, transaction
from postroom.base.settings import Settings
from tests.fixtures.api import Api, running_api
from tests.processes.commands import run

MANY = 30_000
FILL = """
insert into postroom.audit (at, actor, action, subject, detail)
select now() - interval '1 day' + make_interval(secs => n / 1000), 'cli:ada', 'limit.set', n::text,
    jsonb_build_object('reason', repeat('x', 300))
from generate_series(1, $1) n"""


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


async def test_each_entry_is_a_line_with_who_what_and_all_of_its_detail(api: Api) -> None:
    who = Actor("cli:ada", request_id="r1")
    async with transaction(api.pool) as conn:
        await record(conn, who, "channel.pause", "email", reason="gr\u00f6\u00dfer\nals \u2028 gedacht")
    answer = await api.get("/v1/admin/audit/export")
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    line, end = answer.text.split("\n")
    entry = json.loads(line)
    assert {name: entry[name] for name in ("actor", "action", "subject", "detail", "request_id")} == {
        "actor": "cli:ada",
        "action": "channel.pause",
        "subject": "email",
        "detail": {"reason": "gr\u00f6\u00dfer\nals \u2028 gedacht"},
        "request_id": "r1",
    }
    assert end == "", "one line, and the end of it"
    assert datetime.fromisoformat(entry["at"]).utcoffset() == timedelta(0)


async def test_a_long_trail_is_whole_and_in_order_and_takes_a_page_of_memory(api: Api) -> None:
    """Many entries of one moment, too: pages go on behind the last entry, not behind its moment."""
    await api.pool.execute(FILL, MANY)
    text = (await api.get("/v1/admin/audit/export")).text
    entries = [json.loads(line) for line in text.splitlines()]
    assert [each["subject"] for each in entries] == [str(n) for n in range(1, MANY + 1)]
    tracemalloc.start()
    try:
        size = 0
        async for page in audit.export(partial(transaction, api.pool)):
            size += len(page)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 10_000_000
    assert peak < size / 3, "not all of it at once"


async def test_a_part_is_what_happened_from_one_moment_up_to_another(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    start = datetime.now(UTC) - timedelta(days=10)
    for days in range(3):
        await pool.execute(
            "insert into postroom.audit (at, actor, action, subject) values ($1, 'a', 'b', $2)",
            start + timedelta(days=days), str(days),
        )  # fmt: skip
    begin, end = ((start + timedelta(days=n)).isoformat() for n in (1, 2))
    settings = {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(tmp_path)}
    done = await asyncio.to_thread(
        run, "postroom", "audit", "export", "--since", begin, "--until", end, home=tmp_path, settings=settings
    )
    assert done.code == 0, done.err
    assert [json.loads(line)["subject"] for line in done.out.splitlines()] == ["1"]
