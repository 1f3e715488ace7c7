"""One timer for all attempts: each is cut off in its own time, and no other cancellation is taken for it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from postroom.resilience.time_limit import TimeLimit

SHORT_S = 0.08


async def test_what_takes_too_long_is_cut_off_and_what_does_not_is_left_alone() -> None:
    limit = TimeLimit(SHORT_S)
    done = asyncio.Event()

    async def attempt(event: asyncio.Event) -> str:
        try:
            with limit:
                await event.wait()
        except TimeoutError:
            return "cut off"
        return "done"

    slow = asyncio.create_task(attempt(asyncio.Event()))
    quick = asyncio.create_task(attempt(done))
    await asyncio.sleep(0)
    done.set()
    assert [*await asyncio.wait_for(asyncio.gather(slow, quick), 5)] == ["cut off", "done"]


async def test_one_task_is_limited_again_and_again() -> None:
    limit = TimeLimit(SHORT_S)
    for _ in range(3):
        with limit:
            await asyncio.sleep(0)
        with pytest.raises(TimeoutError), limit:
            await asyncio.wait_for(asyncio.Event().wait(), 5)


async def test_a_group_of_tasks_that_failed_before_changes_nothing() -> None:
    """It leaves its task counted as cancelled."""

    async def fail() -> None:
        raise ValueError

    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
    with pytest.raises(TimeoutError), TimeLimit(SHORT_S):
        await asyncio.sleep(5)


async def test_a_cancellation_from_outside_stays_one() -> None:
    limit = TimeLimit(60)

    async def attempt() -> None:
        with limit:
            await asyncio.Event().wait()

    task = asyncio.create_task(attempt())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)


async def test_an_error_of_the_attempt_itself_comes_through() -> None:
    with pytest.raises(ValueError, match="its own"), TimeLimit(SHORT_S):
        raise ValueError("its own")
