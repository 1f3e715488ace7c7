"""`postroom work` with several ledgers: one process works at all; one that is away disturbs no other."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from postroom.base.db import Pool
from postroom.base.json import encode
from postroom.dev.receiver import Receiver
from tests.fixtures.ledgers import black_hole, ledgers, pools, settings_of
from tests.processes.commands import Running, run

WITHIN_S = 60.0
LIVING = ("a", "b", "c")
MESSAGES = 5


@pytest.fixture
async def dsns(server_dsn: str, template: str) -> AsyncIterator[dict[str, str]]:
    async with ledgers(server_dsn, template, *LIVING) as dsns:
        yield dsns


@pytest.fixture
async def living(dsns: dict[str, str]) -> AsyncIterator[dict[str, Pool]]:
    async with pools(dsns) as opened:
        yield opened


@pytest.fixture
def settings(dsns: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    with black_hole() as dead:
        yield {
            **settings_of({**dsns, "dead": dead}),
            "POSTROOM_STATE_DIR": str(tmp_path / "state"),
            "POSTROOM_LOG_JSON": "true",
            "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
        }


async def publish(pool: Pool, url: str) -> None:
    for _ in range(MESSAGES):
        payload = encode({"url": url, "type": "a.b", "data": {}})
        await pool.execute("select postroom.publish('webhook', $1::jsonb)", payload)


async def test_three_are_worked_at_beside_one_that_never_answers(
    living: dict[str, Pool], settings: dict[str, str], tmp_path: Path
) -> None:
    async with Receiver() as receiver:
        for pool in living.values():
            await publish(pool, receiver.url())
        working = Running(["work"], home=tmp_path, settings=settings)
        try:
            wanted = len(living) * MESSAGES
            await receiver.wait_for(wanted, timeout_s=WITHIN_S)
            began_s = time.monotonic()
            working.process.terminate()
            assert await asyncio.to_thread(working.process.wait, WITHIN_S) == 0
            assert time.monotonic() - began_s < 15, "who is only waited for holds up no stop"
        finally:
            if working.process.poll() is None:
                working.process.kill()
        lines = [json.loads(line) for line in working.output.splitlines() if line.startswith("{")]
        started = {line["ledger"] for line in lines if line["event"] == "runner.started"}
        assert started == set(living)


async def test_once_drains_each_and_says_which_one_failed(
    living: dict[str, Pool], settings: dict[str, str], tmp_path: Path
) -> None:
    async with Receiver() as receiver:
        for pool in living.values():
            await publish(pool, receiver.url())
        options = ("work", "--job", "outbox-delivery", "--once")
        done = await asyncio.to_thread(run, "postroom", *options, home=tmp_path, settings=settings)
    assert sorted(done.out.splitlines()) == [f"{name}: outbox-delivery: done, 5 handled" for name in LIVING]
    assert (done.code, "dead: failed: " in done.err) == (1, True)


async def test_one_can_be_chosen(living: dict[str, Pool], settings: dict[str, str], tmp_path: Path) -> None:
    async with Receiver() as receiver:
        for pool in living.values():
            await publish(pool, receiver.url())
        options = ("--ledger", "b", "work", "--job", "outbox-delivery", "--once")
        done = await asyncio.to_thread(run, "postroom", *options, home=tmp_path, settings=settings)
    assert (done.code, done.out) == (0, "b: outbox-delivery: done, 5 handled\n")
    assert [await pool.fetchval("select count(*) from postroom.delivery") for pool in living.values()] == [
        MESSAGES,
        0,
        MESSAGES,
    ]
