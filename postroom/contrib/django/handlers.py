"""The tasks of a Django project, for the runner: `POSTROOM_HANDLERS=postroom.contrib.django.handlers`.

It reads the module `tasks` of each installed app: the tasks of Django's framework that are for
`PostroomBackend`, and Postroom's own. `DJANGO_SETTINGS_MODULE` says which project it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import close_old_connections
from django.utils.module_loading import module_has_submodule

from postroom.client.task import Task as PostroomTask
from postroom.client.task import current_task
from postroom.client.task import task as make_task
from postroom.contrib.django.framework import Status, Task, TaskContext
from postroom.contrib.django.tasks import PostroomBackend, result_of


def _found() -> Iterator[PostroomTask[..., Any]]:
    for app in apps.get_app_configs():
        if app.module is not None and module_has_submodule(app.module, "tasks"):
            for each in vars(import_module(f"{app.name}.tasks")).values():
                if isinstance(each, PostroomTask):
                    yield each
                elif isinstance(each, Task) and isinstance(each.get_backend(), PostroomBackend):
                    yield _of_django(each)


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


django.setup()
globals().update({each.name: each for each in _found()})
