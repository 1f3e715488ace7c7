"""A call begins at once, and is an asyncio task like any other where it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, cast

import pytest

from postroom.base.db import Pool
from postroom.channels.tasks.host import CANCELLED_ITSELF, Host
from postroom.channels.tasks.outcomes import DONE, Ended
from postroom.channels.tasks.run import AsyncRuns, Running
from postroom.channels.tasks.runs import Runs
from postroom.client.task import Task
from postroom.outbox.model import RetryLater

WORD: ContextVar[str] = ContextVar("word", default="nothing")


async def begun(host: Host, call: Coroutine[Any, Any, object]) -> Ended:
    """Begin it, and wait for its end where it has not ended at once."""
    ended = host.begin(call, copy_context())
    if ended is not None:
        return ended
    async with asyncio.timeout(10):
        await asyncio.wait([host.task])
    return CANCELLED_ITSELF if host.task.cancelled() else host.task.result()


@pytest.fixture
async def host() -> Host:
    return await Host.open(asyncio.get_running_loop())


async def test_what_waits_for_nothing_has_ended_when_it_has_begun(host: Host) -> None:
    ours = asyncio.current_task()
    seen: list[object] = []

    async def call() -> None:
        seen.append((WORD.get(), asyncio.current_task()))
        WORD.set("left behind")

    assert host.begin(call(), copy_context()) is DONE
    assert host.begin(call(), copy_context()) is DONE
    assert seen == [("nothing", host.task)] * 2
    assert asyncio.current_task() is ours
    assert host.is_free
    await host.close()


async def test_what_waits_goes_on_in_its_context_and_its_task(host: Host) -> None:
    seen: list[object] = []

    async def call() -> None:
        WORD.set("mine")
        for _ in range(3):
            await asyncio.sleep(0)
            seen.append((WORD.get(), asyncio.current_task()))
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0.001))

    assert host.begin(call(), copy_context()) is None
    assert not host.is_free
    async with asyncio.timeout(10):
        assert await host.task is DONE
    assert seen == [("mine", host.task)] * 3
    assert WORD.get() == "nothing"


async def test_a_limit_of_time_within_a_call_cuts_that_call(host: Host) -> None:
    async def call() -> None:
        for limit_s in (0, 0.001):  # it is over before the task has taken over, and while it waits
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await asyncio.get_running_loop().create_future()

    assert await begun(host, call()) is DONE


async def test_one_that_cancels_itself_ends_so_and_no_other_begins_there(host: Host) -> None:
    async def at_once() -> None:
        _itself().cancel()

    async def and_waits() -> None:
        _itself().cancel()
        await asyncio.get_running_loop().create_future()

    for call in (at_once(), and_waits()):
        assert await begun(host, call) is CANCELLED_ITSELF
        assert not host.is_free
        host = await Host.open(asyncio.get_running_loop())
    await host.close()


async def test_one_that_outlives_its_own_cancellation_goes_on(host: Host) -> None:
    async def call() -> None:
        _itself().cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(0)

    assert await begun(host, call()) is DONE


async def test_what_it_raises_later_is_its_end(host: Host) -> None:
    async def call() -> None:
        await asyncio.sleep(0)
        raise ValueError("not today")

    ended = await begun(host, call())
    assert isinstance(ended, RetryLater)
    assert ended.reason.startswith("ValueError: not today (test_host.py:")
    assert "host.py" not in (ended.detail or "").replace("test_host.py", "")


def _itself() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def test_a_call_that_fails_before_it_begins_leaves_no_task_behind(pool: Pool) -> None:
    def refuses() -> Any:
        raise ValueError("by its decorator")

    runs = AsyncRuns(Runs(pool))
    before = asyncio.all_tasks()
    for _ in range(3):
        ended = await runs.run(Task("refuses", refuses), {}, cast("Running", None))
        assert isinstance(ended, RetryLater)
    assert len(asyncio.all_tasks() - before) == 1, "one host serves all"
    await runs.close()
    assert asyncio.all_tasks() == before
