"""Tasks that every driver has published, in the crash matrix: publishers are killed, and runners."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from postroom.base.db import Pool
from tests.client.drivers import DRIVERS
from tests.processes.commands import processes_of
from tests.system.test_crash_matrix import Start, count, delivered, kill, no_other_session, travel, until
from tests.system.test_crash_matrix import start as start
from tests.system.test_task_crashes import waiting

CODE: Final = """
import asyncio, time
from pathlib import Path
from postroom import current_task, task

HERE = Path(__file__).parent

def mark():
    run = current_task()
    with (HERE / "marks").open("a") as file:
        file.write(f"{run.task} {run.message_id}\\n")

def enough():
    return (HERE / "enough").exists()

async def until_enough():
    while not enough():
        await asyncio.sleep(0.05)

def tasks_of(driver):
    @task(f"around.{driver}")
    async def around():
        mark()
        await until_enough()

    @task(f"apart.{driver}")
    def apart():
        mark()
        while not enough():
            time.sleep(0.05)

    @task(f"row.{driver}")
    async def row():
        async with current_task().transaction() as conn:
            await conn.execute("insert into shop_row values ($1)", driver)
            mark()
            await until_enough()

    return around, apart, row

for driver in DRIVERS:
    for each in tasks_of(driver):
        globals()[each.name] = each
"""
TABLES: Final = """create table shop_order (driver text); create table shop_row (driver text);
    grant all on shop_row to public"""
AROUND: Final = {f"around.{driver}" for driver in DRIVERS}
ALL: Final = AROUND | {f"{kind}.{driver}" for kind in ("apart", "row") for driver in DRIVERS}


@pytest.fixture
async def code(pool: Pool, tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "jobs.py").write_text(f"DRIVERS = {list(DRIVERS)}\n{CODE}")
    await pool.execute(TABLES)
    return folder


def marks(folder: Path) -> Counter[tuple[str, ...]]:
    """Which tasks have begun, how often: name and message id."""
    found = folder / "marks"
    lines = found.read_text().splitlines() if found.exists() else []
    return Counter(tuple(line.split()) for line in lines)


def begun(folder: Path) -> set[str]:
    return {name for name, _ in marks(folder)}


async def published(start: Start, code: Path, dsn: str, pool: Pool, how: str) -> None:
    """Every driver has published, and its process is killed."""
    victim = start("tests.processes.driver_publisher", str(code), dsn, how)
    await until((code / "published").exists)
    kill(victim)
    (code / "published").unlink()
    await until(lambda: no_other_session(pool))


def under_way(names: set[str]) -> bool:
    """One of each driver, and some of the other kinds: those that hold a connection or a process."""
    return names >= AROUND and {each.partition(".")[0] for each in names} == {"around", "apart", "row"}


async def rows(pool: Pool) -> Counter[str]:
    return Counter(row["driver"] for row in await pool.fetch("select driver from shop_row"))


async def test_of_each_driver_a_killed_publisher_and_runner_leave_each_task_done_once_or_not_at_all(
    dsn: str, pool: Pool, start: Start, code: Path
) -> None:
    """Before its publisher's commit there is none; after it, it survives its runner in the midst of the
    function, and after it, while its end is written."""
    await published(start, code, dsn, pool, "open")
    assert await count(pool, "message") == await pool.fetchval("select count(*) from shop_order") == 0
    await published(start, code, dsn, pool, "commit")
    assert await count(pool, "message") == len(ALL)

    settings = {"POSTROOM_HANDLERS": str(code / "jobs.py"), "POSTROOM_TASKS__PROCESSES": "1"}
    victim = start("postroom", "work", **settings)
    await until(lambda: under_way(begun(code)))
    kill(victim)
    await until(lambda: not processes_of(code.parent))
    assert await rows(pool) == {}

    before = marks(code)
    await travel(pool)
    victim = start("postroom", "work", **settings)
    await until(lambda: under_way({name for name, _ in marks(code) - before}))
    async with pool.acquire() as lock, lock.transaction():
        await lock.execute("lock table postroom.tally in share mode")
        (code / "enough").touch()
        await until(lambda: waiting(pool))
        kill(victim)
        await pool.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name like 'postroom %'"
        )
    assert await rows(pool) == {}
    assert await count(pool, "delivery") == len(ALL)

    await travel(pool)
    start("postroom", "work", **settings)
    await until(lambda: delivered(pool))
    assert await rows(pool) == dict.fromkeys(DRIVERS, 1), "what ends in its transaction, exactly once"
    assert await count(pool, "attempt where outcome = 'delivered'") == len(ALL)
    assert begun(code) == ALL
    assert len(marks(code)) == len(ALL), "each under one id, however often"
