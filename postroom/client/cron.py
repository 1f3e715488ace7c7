"""`@cron`: when a task runs by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from postroom.client.task import CatchUp, Schedule, Task

P = ParamSpec("P")
R = TypeVar("R")


def cron(
    expression: str,
    *,
    zone: str = "UTC",
    catch_up: CatchUp = "last",
    name: str | None = None,
    args: Mapping[str, Any] | None = None,
) -> Callable[[Task[P, R]], Task[P, R]]:
    """Publish this task at these times, once each however many runners there are.

    It stands above `@task`: `@cron("0 9 * * mon-fri", zone="Europe/Berlin")`. `catch_up`: of the times that
    were missed while nothing ran, the `last` one is made up for, `all` of them, or `none`. `name`: the task's
    unless given; a task with several schedules needs names, and they must stay what they are. `args`: the
    task's arguments. When daylight saving begins, a time of day that is skipped comes right after the gap;
    when it ends, one that comes twice counts once.
    """

    def decorate(task: Task[P, R]) -> Task[P, R]:
        if not isinstance(task, Task):
            raise TypeError('@cron stands above @task("name")')
        schedule = Schedule(name or task.name, expression, zone, catch_up, dict(args or {}))
        return replace(task, schedules=(*task.schedules, schedule))

    return decorate
