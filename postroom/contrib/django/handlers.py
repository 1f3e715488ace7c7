"""The tasks of a Django project, for the runner: `POSTROOM_HANDLERS=postroom.contrib.django.handlers`.

It reads the module `tasks` of each installed app: the tasks of Django's framework that are for
`PostroomBackend`, and Postroom's own. `DJANGO_SETTINGS_MODULE` says which project it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import django
from django.apps import apps
from django.utils.module_loading import module_has_submodule

from postroom.client.task import Task


def _of_framework(value: object) -> Task[..., Any] | None:
    if find_spec("django.tasks") or find_spec("django_tasks"):  # Django 6.0, or the package for earlier ones
        from postroom.contrib.django.runner import of_framework

        return of_framework(value)
    return None


def _found() -> Iterator[Task[..., Any]]:
    for app in apps.get_app_configs():
        if app.module is not None and module_has_submodule(app.module, "tasks"):
            for each in vars(import_module(f"{app.name}.tasks")).values():
                found = each if isinstance(each, Task) else _of_framework(each)
                if found is not None:
                    yield found


django.setup()
globals().update({each.name: each for each in _found()})
