"""Tasks in the crash matrix: real runners, killed by SIGKILL in the midst of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from postroom.base.db import Pool
from tests.processes.commands import processes_of
from tests.system.test_crash_matrix import Start, count, delivered, kill, travel, until
from tests.system.test_crash_matrix import start as start

CODE = """
import asyncio, os, time
from pathlib import Path
from postroom import current_task, task

HERE = Path(__file__).parent

def mark():
    with (HERE / "marks").open("a") as file:
        run = current_task()
        file.write(f"{run.message_id} {run.attempt}\\n")

@task("apart")
def apart():
    mark()
    while not (HERE / "enough").exists():
        time.sleep(0.02)

@task("row")
async def row():
    async with current_task().transaction() as conn:
        await conn.execute("insert into shop_row values (1)")
        mark()
        while not (HERE / "enough").exists():
            await asyncio.sleep(0.02)
"""


@pytest.fixture
async def code(pool: Pool, tmp_path: Path) -> Path:
    """A folder with the tasks of these tests, and their marks."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "jobs.py").write_text(CODE)
    await pool.execute("create table shop_row (number integer); grant all on shop_row to public")
    return folder


async def publish(pool: Pool, name: str) -> None:
    payload = json.dumps({"task": name, "args": {}})
    await pool.execute("select postroom.publish('task', $1::jsonb)", payload)


def marks(folder: Path) -> list[str]:
    found = folder / "marks"
    return found.read_text().splitlines() if found.exists() else []


def work(start: Start, code: Path) -> object:
    return start("postroom", "work", POSTROOM_HANDLERS=str(code / "jobs.py"), POSTROOM_TASKS__PROCESSES="1")


async def test_in_the_midst_of_a_task_it_runs_again_and_its_process_is_gone(
    pool: Pool, start: Start, code: Path
) -> None:
    await publish(pool, "apart")
    victim = start("postroom", "work", POSTROOM_HANDLERS=str(code / "jobs.py"), POSTROOM_TASKS__PROCESSES="1")
    await until(lambda: marks(code))
    kill(victim)
    await until(lambda: not processes_of(code.parent))
    (code / "enough").touch()
    await travel(pool)
    work(start, code)
    await until(lambda: delivered(pool))
    first, second = marks(code)
    assert first == second  # the same id, and no attempt was spent on the crash


async def test_in_the_midst_of_a_tasks_transaction_its_rows_are_there_once(
    pool: Pool, start: Start, code: Path
) -> None:
    await publish(pool, "row")
    victim = start("postroom", "work", POSTROOM_HANDLERS=str(code / "jobs.py"))
    await until(lambda: marks(code))
    kill(victim)
    assert await pool.fetchval("select count(*) from shop_row") == 0
    (code / "enough").touch()
    await travel(pool)
    work(start, code)
    await until(lambda: delivered(pool))
    assert await pool.fetchval("select count(*) from shop_row") == 1
    assert await count(pool, "attempt where outcome = 'delivered'") == 1


async def test_while_a_tasks_transaction_commits_it_is_all_or_nothing(
    pool: Pool, start: Start, code: Path
) -> None:
    (code / "enough").touch()
    await publish(pool, "row")
    await killed_while_it_settles(pool, start, code)
    assert await pool.fetchval("select count(*) from shop_row") == 0
    assert await count(pool, "delivery") == 1
    await travel(pool)
    work(start, code)
    await until(lambda: delivered(pool))
    assert await pool.fetchval("select count(*) from shop_row") == 1


async def killed_while_it_settles(pool: Pool, start: Start, code: Path) -> None:
    """A runner whose task has run, and whose settlement has not committed."""
    async with pool.acquire() as lock, lock.transaction():
        await lock.execute("lock table postroom.tally in share mode")
        victim = start("postroom", "work", POSTROOM_HANDLERS=str(code / "jobs.py"))
        await until(lambda: marks(code))
        await until(lambda: waiting(pool))
        kill(victim)
        await pool.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name like 'postroom %'"
        )


async def waiting(pool: Pool) -> bool:
    found = await pool.fetchval(
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock'"
    )
    return bool(found)


async def test_while_the_last_of_a_batch_is_settled_what_follows_runs_once(
    pool: Pool, start: Start, code: Path
) -> None:
    (code / "enough").touch()
    await pool.execute(
        "select postroom.publish_batch($1::jsonb, $2::jsonb)",
        json.dumps([{"channel": "task", "payload": {"task": "apart"}}]),
        json.dumps({"channel": "task", "payload": {"task": "row"}}),
    )
    await killed_while_it_settles(pool, start, code)
    assert await pool.fetchval("select delivered from postroom.batch") == 0
    await travel(pool)
    work(start, code)
    await until(lambda: delivered(pool))
    assert await pool.fetchval("select delivered from postroom.batch") == 1
    assert await pool.fetchval("select count(*) from shop_row") == 1
    assert len({mark.split()[0] for mark in marks(code)}) == 2
