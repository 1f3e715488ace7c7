"""The backend for Django's Tasks framework: what is enqueued is published in Django's transaction.

TASKS = {"default": {"BACKEND": "postroom.contrib.django.backend.PostroomBackend"}}
"""

from __future__ import annotations

import builtins
import json
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils.module_loading import import_string

from postroom.base.db import query
from postroom.client.message import Publication
from postroom.contrib.django import publish
from postroom.contrib.django.framework import (
    BaseTaskBackend,
    Status,
    TaskError,
    TaskResult,
    TaskResultDoesNotExist,
    task_enqueued,
)

_FETCH_RESULT: Final = query(__package__, "fetch_result")


class TaskFailed(Exception):
    """An attempt that failed otherwise than by one of Python's own exceptions: the traceback says how."""


class PostroomBackend(BaseTaskBackend):  # type: ignore[misc]  # Django has no types of its own
    """Options: `using`, the alias of the database; `attempts` and `timeout_s`, as `@task` has them.

    A priority above 0 is urgent, one below is bulk.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    @property
    def using(self) -> str:
        alias: str = self.options.get("using", DEFAULT_DB_ALIAS)
        return alias

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Publish it in the open transaction, or, where there is none, in one of its own.

        Errors: `PublishRefused`; what Django's framework raises for a task that is none.
        """
        self.validate_task(task)
        result = result_of(task, args, kwargs)
        message: Publication = {
            "channel": "task",
            "type": task.module_path,
            "payload": {"task": task.module_path, "args": {"args": result.args, "kwargs": result.kwargs}},
            "deliver_at": task.run_after,
            "urgency": "urgent" if task.priority > 0 else "bulk" if task.priority < 0 else "normal",
        }
        with transaction.atomic(self.using, savepoint=False):
            object.__setattr__(result, "id", str(publish(using=self.using, **message)))
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """How it stands by the ledger, for a role that may read it; what it returned is not kept.

        Errors: the framework's own for an unknown id, and once its attempts are forgotten (90 days).
        """
        try:
            key = UUID(result_id)
        except ValueError:
            raise TaskResultDoesNotExist(result_id) from None
        with connections[self.using].cursor() as cursor:
            cursor.execute(_FETCH_RESULT, (key,))
            row = cursor.fetchone()
        if row is None:
            raise TaskResultDoesNotExist(result_id)
        found = _Found(*row)
        try:
            payload = json.loads(found.payload)
            task, given = import_string(payload["task"]), payload["args"]
            return result_of(task, given["args"], given["kwargs"], result_id=result_id, **_told(found))
        except (KeyError, ImportError, AttributeError):  # emptied by retention, or not of this code
            raise TaskResultDoesNotExist(result_id) from None


class _Found(NamedTuple):
    """A row of `fetch_result`; the lists have an entry for each attempt."""

    payload: str
    enqueued_at: datetime
    held: bool
    waits: bool
    dead: bool
    outcomes: list[str] | None
    codes: list[str] | None
    details: list[str] | None
    workers: list[str] | None
    started_at: datetime | None
    last_attempted_at: datetime | None
    ended_at: datetime | None


def _told(found: _Found) -> dict[str, Any]:
    attempts = list(zip(found.outcomes or (), found.codes or (), found.details or (), strict=True))
    if found.waits:
        status = Status.RUNNING if found.held else Status.READY
    else:
        done = not found.dead and attempts[-1][0] == "delivered"
        status = Status.SUCCESSFUL if done else Status.FAILED
    return {
        "status": status,
        "enqueued_at": found.enqueued_at,
        "started_at": found.started_at,
        "last_attempted_at": found.last_attempted_at,
        "finished_at": None if found.waits else found.ended_at,
        "worker_ids": found.workers or [],
        "errors": [_error(code, detail) for outcome, code, detail in attempts if outcome != "delivered"],
    }


def _error(code: str, detail: str) -> Any:
    kind = getattr(builtins, code, None)
    known = isinstance(kind, type) and issubclass(kind, BaseException)
    path = f"builtins.{code}" if known else f"{__name__}.{TaskFailed.__name__}"
    return TaskError(exception_class_path=path, traceback=detail)


def result_of(task: Any, args: Any, kwargs: Any, *, result_id: str = "", **told: Any) -> Any:
    """As Django has it. `told`: what is known of how it stands; nothing of one that is new."""
    fresh = {
        "status": Status.READY,
        "enqueued_at": None,
        "started_at": None,
        "last_attempted_at": None,
        "finished_at": None,
        "errors": [],
        "worker_ids": [],
    }
    return TaskResult(
        task=task, id=result_id, args=args, kwargs=kwargs, backend=task.backend, **{**fresh, **told}
    )
