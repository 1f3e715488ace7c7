"""Which tasks there are: gathered once, at start, from the operator's code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final, TypeAlias

import msgspec

from postroom.base.errors import InvalidPayload, SettingsInvalid
from postroom.base.operator_code import SETTING
from postroom.client.task import Task

Tasks: TypeAlias = Mapping[str, Task[..., Any]]

LIMITED_MAX: Final = 100
"""Half of the limits that there may be; the others are the operators'."""


def tasks_in(modules: Sequence[ModuleType]) -> dict[str, Task[..., Any]]:
    """By name. Errors: `SettingsInvalid` where two tasks have one name, with both places, and for too many
    with a limit."""
    found: dict[str, Task[..., Any]] = {}
    faults = []
    for each in (value for module in modules for value in vars(module).values() if isinstance(value, Task)):
        known = found.setdefault(each.name, each)
        if known.function is not each.function:
            faults.append(f"{SETTING}: two tasks are named '{each.name}': {known.place} and {each.place}")
    if sum(each.limit_per_s is not None for each in found.values()) > LIMITED_MAX:
        faults.append(f"{SETTING}: at most {LIMITED_MAX} tasks have a limit_per_s")
    if faults:
        raise SettingsInvalid(faults)
    return found


class UnknownTask(LookupError):
    """No task of that name is known here."""


def read_call(name: str, payload: str, tasks: Tasks) -> tuple[Task[..., Any], dict[str, Any]]:
    """The task of a message, and its arguments. `name`: the one under which it was published.

    Errors: `InvalidPayload` naming the field, `UnknownTask`.
    """
    task = tasks.get(name)
    arguments = None if task is None else task.read_payload(payload)
    if task is not None and arguments is not None:
        return task, arguments
    body = msgspec.json.decode(payload)  # as PostgreSQL gave it
    if not isinstance(body, dict):
        raise InvalidPayload("the payload is no JSON object", field="payload")
    named, given = name_in(body)
    if named not in tasks:
        raise UnknownTask(f"task {named[:200]!r} is in no file that POSTROOM_HANDLERS names here")
    return tasks[named], tasks[named].read(given)


def name_in(payload: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and arguments as a payload has them. Errors: `InvalidPayload` naming the field."""
    for unknown in payload.keys() - {"task", "args"}:
        raise InvalidPayload("unknown field; known are task, args", field=unknown)
    name: object = payload.get("task")
    arguments = payload.get("args", {})
    if not isinstance(name, str) or not name:
        raise InvalidPayload("must be the name of a task", field="task")
    if not isinstance(arguments, dict):
        raise InvalidPayload("must be an object with the task's arguments", field="args")
    return name, arguments


def check(payload: Mapping[str, Any], tasks: Tasks, *, arguments: bool = True) -> None:
    """Refuse what could never run, as far as the code is known here: where there is none, any name will do.

    `arguments`: whether they are known yet. Errors: `InvalidPayload` naming the field.
    """
    name, given = name_in(payload)
    if not tasks:
        return
    if name not in tasks:
        known = ", ".join(sorted(tasks))
        raise InvalidPayload(f"unknown task {name[:200]!r}; known are {known}", field="task")
    if arguments:
        tasks[name].read(given)
