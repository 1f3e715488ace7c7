"""`limit_per_s` of a task: what is declared, and who has the last word."""

from __future__ import annotations

from typing import Any

import pytest

from postroom import task
from postroom.admin.audit import Actor
from postroom.admin.limits import remove_limit, set_limit
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.errors import SettingsInvalid
from postroom.base.task_settings import TaskSettings
from postroom.channels.tasks.adapter import TaskAdapter
from postroom.channels.tasks.registry import LIMITED_MAX, tasks_in
from postroom.client.task import Task
from postroom.outbox.limits import LimitKey, list_limits
from tests.channels.tasks import code
from tests.fixtures.roles import pool_as

ADA = Actor("ada")


async def starts(pool: Pool, **limits: float | None) -> None:
    """A runner starts with code that says so of these tasks."""
    tasks = {name: Task(name, code.reject.function, limit_per_s=value) for name, value in limits.items()}
    adapter = TaskAdapter(
        pool=pool_as(pool, "runner"), clock=SystemClock(), settings=TaskSettings(), tasks=tasks, places=()
    )
    await adapter.declare_limits()
    await adapter.close()


async def found(pool: Pool) -> dict[str | None, tuple[float | None, str, str]]:
    async with pool.acquire() as conn:
        return {
            each.destination: (each.per_second, each.set_by, each.why) for each in await list_limits(conn)
        }


OF_CODE = "limit_per_s of the task"


async def test_what_the_code_says_is_followed_from_start_to_start(pool: Pool) -> None:
    await starts(pool, sync=20, other=5, free=None)
    assert await found(pool) == {"sync": (20, "@task", OF_CODE), "other": (5, "@task", OF_CODE)}
    await starts(pool, sync=30.5)
    assert (await found(pool))["sync"][0] == 30.5
    await starts(pool, sync=None)
    assert list(await found(pool)) == ["other"], "of what a runner does not know it says nothing"


async def test_an_operators_limit_wins_until_it_is_removed(pool: Pool) -> None:
    await starts(pool, sync=20)
    key = LimitKey("task", destination="sync")
    async with transaction(pool) as conn:
        await set_limit(conn, key, per_second=2, reason="CRM moves", actor=ADA)
    await starts(pool, sync=30)
    told = "CRM moves (in place of 30 a second in the code)"
    assert await found(pool) == {"sync": (2, "ada", told)}
    async with transaction(pool) as conn:
        await remove_limit(conn, key, actor=ADA)
    assert await found(pool) == {"sync": (30, "@task", OF_CODE)}
    async with transaction(pool) as conn:
        await set_limit(conn, key, in_flight=1, reason="one", actor=ADA)
    await starts(pool, sync=None)
    assert await found(pool) == {"sync": (None, "ada", "one")}
    async with transaction(pool) as conn:
        await remove_limit(conn, key, actor=ADA)
    assert await found(pool) == {}


async def test_one_that_no_code_has_any_more_can_be_removed(pool: Pool) -> None:
    await starts(pool, sync=20)
    async with transaction(pool) as conn:
        await remove_limit(conn, LimitKey("task", destination="sync"), actor=ADA)
    assert await found(pool) == {}
    await starts(pool, sync=20)
    assert "sync" in await found(pool), "if some has it after all, it is there from the next start on"


@pytest.mark.parametrize("value", [0, -1, 0.0001, 2e6, float("nan"), float("inf"), "20", True])
def test_what_is_no_limit_is_refused_where_it_is_written(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="task crm: limit_per_s is "):
        task("crm", limit_per_s=value)


def test_of_more_limits_than_there_may_be_none_is_taken() -> None:
    class Module:
        pass

    for number in range(LIMITED_MAX + 1):
        setattr(Module, f"t{number}", Task(f"t{number}", code.reject.function, limit_per_s=1))
    with pytest.raises(SettingsInvalid, match="at most 100 tasks have a limit_per_s"):
        tasks_in([Module])  # type: ignore[list-item]
