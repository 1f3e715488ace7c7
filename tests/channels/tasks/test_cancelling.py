"""Tasks under way: how far they are, and an operator who cancels them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest

from postroom.admin.audit import Actor
from postroom.admin.messages import Cancelled, cancel
from postroom.base.db import Pool, transaction
from postroom.outbox.ledger.story import fetch_message
from postroom.outbox.model import Settled
from postroom.outbox.policy import delivered
from postroom.outbox.store import settle_claims
from tests.channels.tasks.test_adapter import attempt, call, marks
from tests.channels.tasks.test_adapter import engine as engine
from tests.fixtures.engine import AdapterEngine

OPERATOR = Actor("ada")


@pytest.fixture
async def draining(engine: AdapterEngine) -> AsyncIterator[list[asyncio.Task[int]]]:
    started: list[asyncio.Task[int]] = []
    yield started
    async with asyncio.timeout(20):
        await asyncio.gather(*started)


async def until(found: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(20):
        while not await found():
            await asyncio.sleep(0.02)


async def begun(
    engine: AdapterEngine, draining: list[asyncio.Task[int]], folder: Path, name: str, **more: bool
) -> UUID:
    [message_id] = await engine.publish([call(name, folder=str(folder), **more)])
    draining.append(asyncio.create_task(engine.drain()))

    async def there() -> bool:
        return (folder / "marks").exists()

    await until(there)
    return message_id


async def cancelled(pool: Pool, message_id: UUID) -> Cancelled:
    async with transaction(pool) as conn:
        return await cancel(conn, message_id, actor=OPERATOR)


@pytest.mark.parametrize("name", ["long", "long-apart"])
async def test_it_tells_how_far_it_is_and_is_cancelled_while_it_runs(
    engine: AdapterEngine, draining: list[asyncio.Task[int]], tmp_path: Path, name: str
) -> None:
    message_id = await begun(engine, draining, tmp_path, name)

    async def told() -> float | None:
        async with transaction(engine.pool) as conn:
            return (await fetch_message(conn, message_id)).open_deliveries[0].progress

    await until(told)
    assert await told() == pytest.approx(0.4, abs=0.01)
    assert await cancelled(engine.pool, message_id) == Cancelled(0, asked=True)
    async with asyncio.timeout(4):
        await draining[0]
    assert marks(tmp_path) == ["begun", "cancelled True"]
    ended = await attempt(engine.pool, message_id)
    assert (ended["outcome"], ended["reason"]) == ("cancelled", "cancelled by ada")
    assert await engine.pool.fetchval("select count(*) from postroom.delivery") == 0
    assert await engine.pool.fetchval("select count(*) from postroom.dead_letter") == 0
    ended = await engine.pool.fetchval(
        "select sum(value) from postroom.tally where name = 'ended' and label = 'task/cancelled'"
    )
    assert ended == 1

    async def forgotten() -> bool:
        return bool(await engine.pool.fetchval("select count(*) = 0 from postroom.task_run"))

    await until(forgotten)


async def test_one_that_never_looks_loses_its_process_after_the_grace(
    engine: AdapterEngine, draining: list[asyncio.Task[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postroom.channels.tasks.processes.GRACE_S", 0.2)
    message_id = await begun(engine, draining, tmp_path, "long-apart", looks=False)
    await cancelled(engine.pool, message_id)
    async with asyncio.timeout(4):
        await draining[0]
    assert (await attempt(engine.pool, message_id))["outcome"] == "cancelled"
    assert marks(tmp_path) == ["begun"]


async def test_one_that_only_waits_is_cancelled_at_once_and_never_runs(
    engine: AdapterEngine, tmp_path: Path
) -> None:
    [message_id] = await engine.publish([call("async", folder=str(tmp_path))])
    assert await cancelled(engine.pool, message_id) == Cancelled(1)
    await engine.drain()
    assert not (tmp_path / "marks").exists()


async def test_what_waits_in_the_runner_is_cancelled_before_it_begins(
    engine: AdapterEngine, draining: list[asyncio.Task[int]], tmp_path: Path
) -> None:
    """Claimed ahead, or freed by a runner that died before it saw the wish."""
    [message_id] = await engine.publish([call("async", folder=str(tmp_path))])
    [claim] = await engine.claim()
    await cancelled(engine.pool, message_id)
    other = await begun(engine, draining, tmp_path, "long")
    await cancelled(engine.pool, other)
    await draining[0]  # by now the runner knows of both
    assert isinstance(await engine.adapter.deliver(claim), Settled)
    assert (await attempt(engine.pool, message_id))["outcome"] == "cancelled"
    assert marks(tmp_path) == ["begun", "cancelled True"]


async def test_a_wish_that_came_too_late_is_forgotten(
    engine: AdapterEngine, draining: list[asyncio.Task[int]], tmp_path: Path
) -> None:
    """Else it would cancel the message when it is sent again."""
    [message_id] = await engine.publish([call("async", folder=str(tmp_path))])
    [claim] = await engine.claim()
    await cancelled(engine.pool, message_id)
    async with transaction(engine.pool) as conn:
        await settle_claims(conn, [(claim, delivered(), 1)])
    other = await begun(engine, draining, tmp_path, "long")
    await cancelled(engine.pool, other)
    await draining[0]
    assert await engine.pool.fetchval("select count(*) from postroom.task_run") == 0
