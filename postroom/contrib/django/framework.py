"""Django's Tasks framework: its own from Django 6.0 on, before that the package django-tasks."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final


def _tasks(name: str) -> Any:
    try:
        return import_module(f"django.tasks{name}")
    except ModuleNotFoundError as error:
        if error.name != "django.tasks":
            raise
        return import_module(f"django_tasks{name}")


_base: Final = _tasks(".base")
BaseTaskBackend: Any = _tasks(".backends.base").BaseTaskBackend
TaskResultDoesNotExist: Any = _tasks(".exceptions").TaskResultDoesNotExist
task_enqueued: Any = _tasks(".signals").task_enqueued
Task: Any = _base.Task
TaskContext: Any = _base.TaskContext
TaskError: Any = _base.TaskError
TaskResult: Any = _base.TaskResult
Status: Any = _base.TaskResultStatus
