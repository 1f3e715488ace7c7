"""All that the apps of a Django project run: `POSTROOM_HANDLERS=postroom.contrib.django.handlers`.

It has what the modules `tasks` and `handlers` of the installed apps have, of which the runner takes
Postroom's tasks and the handlers of Stripe's events; tasks of Django's framework that are for
`PostroomBackend` are made such. `DJANGO_SETTINGS_MODULE` says which project it is. A module that fails is
named.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Final

import django
from django.apps import apps
from django.utils.module_loading import module_has_submodule

from postroom.base.operator_code import SETTING, operators_code

MODULES: Final = ("tasks", "handlers")


def _modules() -> Iterator[ModuleType]:
    for app in apps.get_app_configs():
        for name in MODULES:
            if app.module is not None and module_has_submodule(app.module, name):
                with operators_code(f"{SETTING}: {app.name}.{name}"):
                    module = import_module(f"{app.name}.{name}")
                yield module


def _found() -> dict[str, object]:
    """By module and name, so that two of one name are both there, for the runner to refuse."""
    found = dict[int, tuple[str, object]]()  # one that another module imports is the same
    for module in _modules():
        for name, value in vars(module).items():
            found.setdefault(id(value), (f"{module.__name__}.{name}", value))
    everything = dict(found.values())
    if find_spec("django.tasks") or find_spec("django_tasks"):  # Django 6.0, or the package for earlier ones
        from postroom.contrib.django.runner import of_framework

        return {name: of_framework(value) or value for name, value in everything.items()}
    return everything


django.setup()
globals().update(_found())
