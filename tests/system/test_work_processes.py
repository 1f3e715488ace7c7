"""`postroom work --processes`: real runners under one supervisor."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from postroom.base.db import Pool
from postroom.base.json import encode
from postroom.dev.receiver import Receiver
from tests.processes.commands import Running, processes_of, run
from tests.processes.local_postgres import wait_until

WITHIN_S = 60.0
BATCH = 10
READY = "2 of 2 runners ready"
RUNNERS = "select pid from postroom.worker order by id"

Work = Callable[..., Running]


@pytest.fixture
def work(dsn: str, tmp_path: Path) -> Iterator[Work]:
    started: list[Running] = []
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests run under nohup

    def start(*options: str) -> Running:
        settings = {
            "POSTROOM_DATABASE_URL": dsn,
            "POSTROOM_STATE_DIR": str(tmp_path / "state"),
            "POSTROOM_LOG_JSON": "true",
            "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
        }
        started.append(Running(["work", *options], home=tmp_path, settings=settings))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(WITHIN_S)
    signal.signal(signal.SIGHUP, inherited)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def until(condition: Callable[[], bool]) -> None:
    assert await asyncio.to_thread(wait_until, condition, limit_s=WITHIN_S)


def states(running: Running) -> list[str]:
    """What the supervisor has said of itself, in order."""
    lines = [json.loads(line) for line in running.output.splitlines() if "supervisor.state" in line]
    return [line["state"] for line in lines]


async def publish(pool: Pool, receiver: Receiver, behaviour: str, count: int) -> None:
    message = {"channel": "webhook", "payload": {"url": receiver.url(behaviour), "type": "a.b", "data": {}}}
    await pool.execute("select postroom.publish_many($1::text::jsonb)", encode([message] * count))


async def test_replaced_under_load_nothing_is_lost_or_sent_twice(
    work: Work, pool: Pool, receiver: Receiver
) -> None:
    running = await asyncio.to_thread(work, "--processes", "2")
    await until(lambda: running.says(READY))
    old = {row["pid"] for row in await pool.fetch(RUNNERS)}
    running.process.send_signal(signal.SIGHUP)
    published = 0
    while not running.says("1 of 2 replaced") or states(running)[-1] != READY:
        await publish(pool, receiver, "/slow/0.05", BATCH)
        published += BATCH
        await asyncio.sleep(0.1)  # the load's own rate
    received = await receiver.wait_for(published, timeout_s=WITHIN_S)
    assert set(Counter(each.id for each in received).values()) == {1}, "each of them once"
    new = {row["pid"] for row in await pool.fetch(RUNNERS)}
    assert (len(new), old & new) == (2, set())

    running.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(running.process.wait, WITHIN_S) == 0
    assert await pool.fetch(RUNNERS) == [], "each has taken its leave"
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0


async def test_one_that_is_killed_comes_back_and_the_other_goes_on(work: Work, pool: Pool) -> None:
    running = await asyncio.to_thread(work, "--processes", "2")
    await until(lambda: running.says(READY))
    killed, stays = (row["pid"] for row in await pool.fetch(RUNNERS))
    os.kill(killed, signal.SIGKILL)
    await until(lambda: states(running)[-1] == "1 of 2 runners ready")
    await until(lambda: states(running)[-1] == READY)
    assert stays in {row["pid"] for row in await pool.fetch(RUNNERS)}


async def test_what_is_in_flight_at_sigterm_is_finished(work: Work, pool: Pool, receiver: Receiver) -> None:
    running = await asyncio.to_thread(work, "--processes", "2")
    await until(lambda: running.says(READY))
    await publish(pool, receiver, "/slow/1.5", 4)
    await receiver.wait_for(4, timeout_s=WITHIN_S)
    running.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(running.process.wait, WITHIN_S) == 0
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0


async def test_no_runner_outlives_its_supervisor(work: Work, pool: Pool, tmp_path: Path) -> None:
    running = await asyncio.to_thread(work, "--processes", "2")
    await until(lambda: running.says(READY))
    running.process.kill()
    running.process.wait(WITHIN_S)
    await until(lambda: processes_of(tmp_path) == [])


async def test_alone_it_ends_in_order_at_sighup(work: Work, pool: Pool) -> None:
    running = await asyncio.to_thread(work, "--job", "canary")
    await until(lambda: running.says("runner.started"))
    running.process.send_signal(signal.SIGHUP)
    assert await asyncio.to_thread(running.process.wait, WITHIN_S) == 0
    assert running.says("runner.stopped")
    assert await pool.fetch(RUNNERS) == []


def test_what_is_refused(dsn: str, tmp_path: Path) -> None:
    settings = {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(tmp_path)}
    for options, why in (
        (["--processes", "2", "--once"], "leave --processes out"),
        (["--processes", "auto", "--once"], "leave --processes out"),
        (["--processes", "0"], "neither a number"),
        (["--processes", "2", "--job", "nonsense"], "There is no job"),
    ):
        refused = run("postroom", "work", *options, home=tmp_path, settings=settings)
        assert (refused.code, why in refused.err) == (2, True), refused.err
