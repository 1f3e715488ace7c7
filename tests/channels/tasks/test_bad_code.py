"""Code that must harm nobody else: it forks, prints secrets, or cannot be imported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.errors import SettingsInvalid
from postroom.base.settings import Settings
from postroom.base.task_settings import TaskSettings
from postroom.channels.tasks.adapter import TaskAdapter
from postroom.channels.tasks.registry import tasks_in
from postroom.wiring import open_worker
from tests.channels.tasks import bad_code
from tests.channels.tasks.test_adapter import call, marks, tried
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.roles import as_role, pool_as


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> AsyncIterator[AdapterEngine]:
    adapter = TaskAdapter(
        pool=pool_as(pool, "runner"),
        clock=SystemClock(),
        settings=TaskSettings(processes=1, memory_mb=512),
        tasks=tasks_in([bad_code]),
        places=["tests.channels.tasks.bad_code"],
    )
    yield await AdapterEngine(dsn, pool, adapter).start()
    await adapter.close()


async def test_a_copy_that_comes_back_answers_for_nobody(engine: AdapterEngine, tmp_path: Path) -> None:
    """One process runs all: a second answer would be taken for that of the next call."""
    folder = str(tmp_path)
    for number in range(3):
        ended = await tried(
            engine, call("forks-apart", folder=folder), call("counts-apart", folder=folder, number=number)
        )
        assert [each["outcome"] for each in ended] == ["delivered", "delivered"]
        assert marks(tmp_path).count(f"number {number}") == 1
    assert len(marks(tmp_path)) == 9


async def test_what_is_printed_reaches_no_table(engine: AdapterEngine) -> None:
    ended = await tried(engine, call("prints"), call("prints-apart"))
    assert [each["outcome"] for each in ended] == ["delivered", "delivered"]
    rows = await engine.pool.fetch("select a::text as row from postroom.attempt a")
    assert len(rows) == 2
    assert not any(bad_code.SECRET in row["row"] for row in rows)


async def test_a_runner_whose_code_cannot_be_imported_does_not_start_at_all(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("from postroom import task\n@task('a')\nasync def a() -> None: ...\n")
    bad.write_text("import os\n\nimport nowhere_to_be_found\n")
    settings = Settings(state_dir=tmp_path, handlers=(str(good), str(bad)))
    with pytest.raises(SettingsInvalid, match=r"bad\.py:3: ModuleNotFoundError"):
        async with open_worker(settings, as_role(dsn, "runner"), role="test"):
            raise AssertionError("it must not start")
    assert await pool.fetchval("select count(*) from postroom.worker") == 0
