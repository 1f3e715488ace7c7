"""Async tasks that harm the runner they run in: real runners, and neighbours that must not notice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from postroom.base.db import Pool
from postroom.worker.heartbeat import HANGS
from tests.processes.commands import all_gone, processes_of
from tests.processes.hasty_runner import BLOCKED_MAX_S
from tests.system.test_crash_matrix import Start, count, delivered, travel, until
from tests.system.test_crash_matrix import start as start

CODE = """
import asyncio, multiprocessing, os, subprocess, time
from pathlib import Path
from postroom import task

def mark(text):
    with (Path(__file__).parent / "marks").open("a") as file:
        file.write(text + "\\n")

@task("forks", attempts=1)
async def forks():
    mark("forks")
    os.fork()
    mark("copied")

@task("forks-in-a-thread", attempts=1)
async def forks_in_a_thread():
    await asyncio.to_thread(multiprocessing.get_context("fork").Process(target=mark, args=["copied"]).start)

@task("starts")
async def starts():
    subprocess.run(["true"], check=True, preexec_fn=os.getpid)
    process = await asyncio.create_subprocess_exec("true", preexec_fn=os.getpid)
    assert await process.wait() == 0
    spawned = multiprocessing.get_context("spawn").Process(target=os.getpid)
    spawned.start()
    await asyncio.to_thread(spawned.join)
    assert spawned.exitcode == 0
    mark("started")

@task("computes", attempts=1)
async def computes(secret: str):
    mark("computes")
    if len((Path(__file__).parent / "marks").read_text().splitlines()) == 1:
        await asyncio.sleep(0)
    while True:
        pass

@task("busy")
async def busy():
    mark("busy")
    while not (Path(__file__).parent / "paused").exists():
        pass
    end_s = time.process_time() + 0.15
    while time.process_time() < end_s:
        pass

@task("neighbour")
async def neighbour(number: int):
    await asyncio.sleep(0.05)
    mark(f"neighbour {number}")

@task("apart")
def apart():
    if pid := os.fork():
        os.waitpid(pid, 0)
        mark("apart")
    else:
        os._exit(0)
"""
PUBLISH = "select postroom.publish('task', jsonb_build_object('task', $1::text, 'args', $2::text::jsonb))"
WITHIN_S = 15.0


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Path]:
    """A folder with the tasks of these tests; what runs them and still lives is killed in the end."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "jobs.py").write_text(CODE)
    yield folder
    for process_id in processes_of(folder):
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)


def marks(folder: Path) -> list[str]:
    found = folder / "marks"
    return found.read_text().splitlines() if found.exists() else []


async def test_an_async_task_that_forks_is_refused_and_its_neighbours_notice_nothing(
    pool: Pool, start: Start, code: Path
) -> None:
    runner = start("postroom", "work", POSTROOM_HANDLERS=str(code / "jobs.py"), POSTROOM_TASKS__PROCESSES="1")
    await pool.execute(PUBLISH, "apart", "{}")
    await until(lambda: delivered(pool))
    async with pool.acquire() as conn, conn.transaction():
        for number in range(20):
            await conn.execute(PUBLISH, "neighbour", f'{{"number": {number}}}')
            if number % 5 == 0:
                await conn.execute(PUBLISH, "forks", "{}")
        await conn.execute(PUBLISH, "forks-in-a-thread", "{}")
        await conn.execute(PUBLISH, "starts", "{}")
    async with asyncio.timeout(WITHIN_S):
        await until(lambda: delivered(pool))
    wanted = ["apart", "started", *["forks"] * 4, *(f"neighbour {number}" for number in range(20))]
    assert sorted(marks(code)) == sorted(wanted), "each once, and no copy"
    assert await count(pool, "attempt where outcome = 'delivered'") == 22
    dead = await pool.fetch("select reason from postroom.dead_letter")
    assert len(dead) == 5
    assert all("use subprocess" in row["reason"] for row in dead)
    runner.send_signal(signal.SIGTERM)
    async with asyncio.timeout(WITHIN_S):
        assert await asyncio.to_thread(runner.wait) == 0
    assert await asyncio.to_thread(all_gone, code)


async def test_an_async_task_that_never_waits_ends_its_runner_and_then_dies_of_it(
    pool: Pool, start: Start, code: Path, tmp_path: Path
) -> None:
    """The first end of its runner costs it nothing, the next one its only attempt."""
    settings = {"POSTROOM_HANDLERS": str(code / "jobs.py")}
    await pool.execute(PUBLISH, "computes", '{"secret": "a value"}')
    for number in range(2):
        runner = start("tests.processes.hasty_runner", "work", **settings)
        async with asyncio.timeout(WITHIN_S):
            assert await asyncio.to_thread(runner.wait) == HANGS
        assert marks(code) == ["computes"] * (number + 1)
        assert await asyncio.to_thread(all_gone, code)
        says_why(tmp_path / f"log-{number}", code)
        await travel(pool)
    await pool.execute(PUBLISH, "neighbour", '{"number": 1}')
    start("tests.processes.hasty_runner", "work", **settings)
    async with asyncio.timeout(WITHIN_S):
        await until(lambda: delivered(pool))
    assert marks(code) == ["computes", "computes", "neighbour 1"]
    dead = await pool.fetch("select cause, reason from postroom.dead_letter")
    assert [tuple(row) for row in dead] == [("ours", "its attempts are spent: 1")]


def says_why(log: Path, code: Path) -> None:
    """Which task and where, and nothing of its arguments."""
    text = log.read_text()
    [line] = [line for line in text.splitlines() if "worker.ends_as_it_hangs" in line]
    said = json.loads(line)
    assert said["running"] == "task computes"
    assert said["at"][0].startswith(f"{code / 'jobs.py'}:")
    assert "a value" not in text


async def test_a_runner_that_was_paused_for_long_goes_on(pool: Pool, start: Start, code: Path) -> None:
    """It is seen before its loop turns again: a task goes on to compute in it."""
    runner = start("tests.processes.hasty_runner", "work", POSTROOM_HANDLERS=str(code / "jobs.py"))
    await pool.execute(PUBLISH, "busy", "{}")
    await until(lambda: marks(code))
    runner.send_signal(signal.SIGSTOP)
    (code / "paused").touch()
    silent = "select now() - max(beat_at) > make_interval(secs => $1) from postroom.worker"
    await until(lambda: pool.fetchval(silent, BLOCKED_MAX_S * 1.5))
    runner.send_signal(signal.SIGCONT)
    await until(lambda: delivered(pool))
    await until(lambda: beats(pool))
    assert runner.poll() is None
    assert marks(code) == ["busy"]


async def beats(pool: Pool) -> bool:
    found: bool = await pool.fetchval("select now() - max(beat_at) < interval '1s' from postroom.worker")
    return found
