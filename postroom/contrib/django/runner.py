"""A task of Django's framework as the runner calls it."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections

from postroom.client.task import Task as PostroomTask
from postroom.client.task import current_task
from postroom.client.task import task as make_task
from postroom.contrib.django.backend import PostroomBackend, result_of
from postroom.contrib.django.framework import Status, Task, TaskContext


def of_framework(value: object) -> PostroomTask[..., Any] | None:
    """None where it is no task of the framework, or for another backend."""
    if isinstance(value, Task) and isinstance(value.get_backend(), PostroomBackend):
        return _of_django(value)
    return None


def _of_django(task: Any) -> PostroomTask[..., Any]:
    options = task.get_backend().options
    limits = {name: options[name] for name in ("attempts", "timeout_s") if name in options}

    def call(args: list[Any], kwargs: dict[str, Any]) -> None:
        close_old_connections()  # the database may have been restarted since the last one
        task.func(*_context(task, args, kwargs), *args, **kwargs)

    async def acall(args: list[Any], kwargs: dict[str, Any]) -> None:
        await sync_to_async(close_old_connections)()
        await task.func(*_context(task, args, kwargs), *args, **kwargs)

    return make_task(task.module_path, **limits)(acall if iscoroutinefunction(task.func) else call)


def _context(task: Any, args: list[Any], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The first argument of a task that takes its context."""
    if not task.takes_context:
        return ()
    run = current_task()
    started = result_of(task, args, kwargs, result_id=str(run.message_id), status=Status.RUNNING)
    started.worker_ids.extend([""] * run.attempt)  # Django counts attempts by them
    return (TaskContext(task_result=started),)
