"""Tasks as the runner runs them: in its loop, in processes, and to their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from postroom import BatchCounts, publish_batch
from postroom.admin.audit import Actor
from postroom.admin.messages import cancel
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, open_pool, transaction
from postroom.base.task_settings import TaskSettings
from postroom.channels.tasks.adapter import TaskAdapter
from postroom.channels.tasks.registry import tasks_in
from postroom.client.task import Task
from postroom.outbox.model import Channel, Message
from postroom.worker.model import JobContext
from tests.channels.tasks import code
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.roles import as_role, pool_as

SHOP = "create table shop_row (number integer primary key); grant all on shop_row to public"
PLACES = ("tests.channels.tasks.code",)


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> AsyncIterator[AdapterEngine]:
    await pool.execute(SHOP)
    adapter = adapter_on(pool_as(pool, "runner"))
    yield await AdapterEngine(dsn, pool, adapter).start()
    await adapter.close()


def adapter_on(pool: Pool) -> TaskAdapter:
    return TaskAdapter(
        pool=pool,
        clock=SystemClock(),
        settings=TaskSettings(processes=2, memory_mb=512),
        tasks=tasks_in([code]),
        places=PLACES,
    )


def call(task: str, **args: Any) -> Message:
    return Message(channel=Channel.TASK, payload={"task": task, "args": args})


async def tried(engine: AdapterEngine, *messages: Message) -> list[dict[str, Any]]:
    """Publish, try once, and tell how each attempt ended, in the order of the messages."""
    ids = await engine.publish(messages)
    await engine.drain()
    return [await attempt(engine.pool, each) for each in ids]


async def attempt(pool: Pool, message_id: UUID) -> dict[str, Any]:
    row = await pool.fetchrow(
        "select outcome, code, reason, detail from postroom.attempt where message_id = $1 "
        "order by ended_at desc limit 1",
        message_id,
    )
    return dict(row) if row else {}


def marks(folder: Path) -> list[str]:
    return (folder / "marks").read_text().splitlines()


async def test_both_kinds_run(engine: AdapterEngine, tmp_path: Path) -> None:
    folder = str(tmp_path)
    ended = await tried(engine, call("async", folder=folder), call("sync", folder=folder))
    assert [each["outcome"] for each in ended] == ["delivered", "delivered"]
    assert sorted(marks(tmp_path)) == ["async 1", "sync 1"]


@pytest.mark.parametrize("name", ["fails", "fails-apart"])
async def test_what_it_raises_is_told_with_its_place_and_dead_after_its_own_attempts(
    engine: AdapterEngine, name: str
) -> None:
    [message_id] = await engine.publish([call(name, word="sk_live_" + "x" * 24)])
    await engine.drain()
    first = await attempt(engine.pool, message_id)
    assert first["outcome"] == "retry"
    assert first["reason"].startswith("ValueError: cannot do with ")
    assert "(code.py:" in first["reason"]
    assert 'raise ValueError(f"cannot do with' in first["detail"]
    assert "x" * 24 not in first["reason"] + first["detail"]
    await engine.travel(120)
    await engine.drain()
    letter = await engine.pool.fetchrow("select cause, attempts from postroom.dead_letter")
    assert letter is not None
    assert tuple(letter) == ("ours", 2)


@pytest.mark.parametrize("name", ["retry", "retry-apart"])
async def test_it_may_ask_to_be_tried_later(engine: AdapterEngine, name: str) -> None:
    [ended] = await tried(engine, call(name))
    assert (ended["outcome"], ended["reason"]) == ("retry", "the shop is closed")
    wait = await engine.pool.fetchval("select extract(epoch from due_at - now()) from postroom.delivery")
    assert 7_100 < wait < 8_000


@pytest.mark.parametrize("name", ["reject", "reject-apart"])
async def test_it_may_reject_what_can_never_succeed(engine: AdapterEngine, name: str) -> None:
    [ended] = await tried(engine, call(name))
    assert (ended["outcome"], ended["reason"]) == ("rejected", "there is no such customer")


@pytest.mark.parametrize("name", ["sleeps", "sleeps-apart"])
async def test_what_takes_too_long_is_cut_off(engine: AdapterEngine, name: str) -> None:
    [ended] = await tried(engine, call(name))
    assert (ended["outcome"], ended["code"]) == ("retry", "timeout")
    assert ended["reason"] == "it took longer than 0.2 s"


async def test_one_that_swallows_its_cancellation_is_left_behind_and_others_go_on(
    engine: AdapterEngine, tmp_path: Path
) -> None:
    folder = str(tmp_path)
    ended = await tried(engine, call("stubborn", folder=folder), call("async", folder=folder))
    (tmp_path / "enough").touch()
    assert [each["outcome"] for each in ended] == ["retry", "delivered"]
    assert "swallowed" in marks(tmp_path)


async def test_one_that_exits_dies_or_eats_memory_harms_nobody_else(
    engine: AdapterEngine, tmp_path: Path
) -> None:
    bad = [call("exits"), call("exits-apart"), call("large-apart")]
    ended = await tried(engine, *bad, *(call("sync", folder=str(tmp_path)) for _ in range(3)))
    assert [each["outcome"] for each in ended] == ["retry"] * 3 + ["delivered"] * 3
    assert [each["code"] for each in ended[:3]] == ["SystemExit", "died", "MemoryError"]


async def test_a_name_that_is_unknown_here_waits_and_spends_no_attempt(engine: AdapterEngine) -> None:
    [ended] = await tried(engine, call("of a newer version"))
    assert ended == {}
    row = await engine.pool.fetchrow("select attempts, last_reason from postroom.delivery")
    assert row is not None
    assert row["attempts"] == 0
    assert "'of a newer version' is in no file that POSTROOM_HANDLERS names" in row["last_reason"]


async def test_a_payload_of_another_version_is_a_dead_letter_that_names_the_field(
    engine: AdapterEngine,
) -> None:
    [ended] = await tried(engine, call("fails", word="x", colour="red"))
    assert ended["outcome"] == "rejected"
    assert "args.colour" in ended["reason"]


async def test_its_row_and_what_it_publishes_commit_with_its_end(engine: AdapterEngine) -> None:
    [message_id] = await engine.publish([call("row", number=1)])
    await engine.drain()
    assert (await attempt(engine.pool, message_id))["outcome"] == "delivered"
    assert await engine.pool.fetchval("select count(*) from shop_row") == 1
    assert await engine.pool.fetchval("select count(*) from postroom.message where channel = 'export'") == 1


async def test_where_it_fails_within_its_transaction_nothing_of_it_stays(engine: AdapterEngine) -> None:
    [ended] = await tried(engine, call("row", number=1, fail=True))
    assert ended["outcome"] == "retry"
    assert await engine.pool.fetchval("select count(*) from shop_row") == 0
    assert await engine.pool.fetchval("select count(*) from postroom.message") == 1


async def test_what_fails_past_its_transaction_is_done_all_the_same(engine: AdapterEngine) -> None:
    [message_id] = await engine.publish([call("past-its-end", number=1)])
    with capture_logs() as lines:
        await engine.drain()
    assert (await attempt(engine.pool, message_id))["outcome"] == "delivered"
    assert await engine.pool.fetchval("select count(*) from shop_row") == 1
    [line] = [each for each in lines if each["event"] == "task.failed_past_its_end"]
    assert line["reason"].startswith("ValueError: too late")


async def test_a_run_that_was_given_up_commits_nothing(engine: AdapterEngine, tmp_path: Path) -> None:
    """Its claim was taken by another worker, as after a pause that was too long: the fence stops it."""
    [message_id] = await engine.publish([call("row", number=1, folder=str(tmp_path))])
    draining = asyncio.create_task(engine.drain())
    async with asyncio.timeout(20):
        while not (tmp_path / "marks").exists():
            await asyncio.sleep(0.02)
    await engine.pool.execute("update postroom.delivery set claim_no = claim_no + 1")
    (tmp_path / "enough").touch()
    await draining
    assert await engine.pool.fetchval("select count(*) from shop_row") == 0
    assert await attempt(engine.pool, message_id) == {}


def children() -> set[int]:
    """Of this process, as the kernel has them."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(pid) for each in lists for pid in each.read_text().split()}


async def test_its_processes_end_when_it_is_closed(engine: AdapterEngine, tmp_path: Path) -> None:
    before = children()
    await tried(engine, call("sync", folder=str(tmp_path)))
    assert children() > before
    await engine.adapter.close()
    ours = {each for each in children() - before if "tasks.child" in command(each)}
    assert not ours


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize("last", [code.report, code.report_apart])
async def test_what_follows_a_batch_knows_how_it_ended(
    engine: AdapterEngine, tmp_path: Path, last: Task[[str], Any]
) -> None:
    folder = str(tmp_path)
    async with transaction(engine.pool) as conn:
        made = await publish_batch(
            conn, [code.reject.message(), code.wait_a_moment.message(folder)], then=last.message(folder)
        )
    await engine.drain()
    kind = "async" if last.is_async else "sync"
    counts = BatchCounts(size=2, delivered=1, dead=1, cancelled=0)
    assert marks(tmp_path) == ["async 1", f"{kind} {counts}"]
    assert made.then is not None
    assert (await attempt(engine.pool, made.then))["outcome"] == "delivered"


async def test_transactions_of_tasks_leave_others_half_of_the_connections(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    await pool.execute(SHOP)
    few = await open_pool(as_role(dsn, "runner"), connections_max=4)
    adapter = adapter_on(few)
    engine = await AdapterEngine(dsn, pool, adapter).start()
    await engine.publish([call("row", number=n, folder=str(tmp_path)) for n in range(4)])
    draining = asyncio.create_task(engine.drain())
    async with asyncio.timeout(20):
        while not (tmp_path / "marks").exists() or len(marks(tmp_path)) < 2:
            await asyncio.sleep(0.02)
        async with few.acquire(), few.acquire():
            assert len(marks(tmp_path)) == 2
    (tmp_path / "enough").touch()
    await draining
    await adapter.close()
    await few.close()
    assert await pool.fetchval("select count(*) from shop_row") == 4


async def test_what_ends_at_once_is_claimed_a_lot_at_a_time_and_nothing_else_is(
    engine: AdapterEngine, tmp_path: Path
) -> None:
    adapter = engine.adapter
    assert adapter.concurrency_max == 400
    await engine.publish([call("nothing") for _ in range(3_000)])
    held = []

    async def noted(_: int) -> None:
        held.append(adapter.concurrency_max)

    await engine.relay.run(JobContext(once=True, progress=noted))
    assert max(held) > 400
    [waits] = await engine.publish([call("long", folder=str(tmp_path))])
    draining = asyncio.create_task(engine.drain())
    async with asyncio.timeout(20):
        while not (tmp_path / "marks").exists():
            await asyncio.sleep(0.02)
    assert adapter.concurrency_max == 400
    async with transaction(engine.pool) as conn:
        await cancel(conn, waits, actor=Actor("ada"))
    await draining
