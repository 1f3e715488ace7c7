"""Postroom: if your transaction commits, its side effect happens, or a person is told.

What is exported here is the public API; everything else may change in any release.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from postroom.base.version import VERSION as __version__

if TYPE_CHECKING:
    from postroom.base.errors import PublishRefused, TenantElsewhere
    from postroom.channels.stripe.event import Event
    from postroom.channels.stripe.handlers import on
    from postroom.channels.stripe.transaction import Transaction
    from postroom.client.cron import cron
    from postroom.client.message import Publication
    from postroom.client.publish import (
        Batch,
        Unique,
        publish,
        publish_batch,
        publish_many,
        publish_unique,
    )
    from postroom.client.task import BatchCounts, Reject, Retry, TaskRun, current_task, task

__all__ = [
    "Batch",
    "BatchCounts",
    "Event",
    "Publication",
    "PublishRefused",
    "Reject",
    "Retry",
    "TaskRun",
    "TenantElsewhere",
    "Transaction",
    "Unique",
    "__version__",
    "cron",
    "current_task",
    "on",
    "publish",
    "publish_batch",
    "publish_many",
    "publish_unique",
    "task",
]

_HOMES = {
    "Batch": "postroom.client.publish",
    "BatchCounts": "postroom.client.task",
    "publish_batch": "postroom.client.publish",
    "Event": "postroom.channels.stripe.event",
    "Publication": "postroom.client.message",
    "PublishRefused": "postroom.base.errors",
    "TenantElsewhere": "postroom.base.errors",
    "Reject": "postroom.client.task",
    "Retry": "postroom.client.task",
    "TaskRun": "postroom.client.task",
    "Transaction": "postroom.channels.stripe.transaction",
    "Unique": "postroom.client.publish",
    "cron": "postroom.client.cron",
    "current_task": "postroom.client.task",
    "on": "postroom.channels.stripe.handlers",
    "publish": "postroom.client.publish",
    "publish_many": "postroom.client.publish",
    "publish_unique": "postroom.client.publish",
    "task": "postroom.client.task",
}


def __getattr__(name: str) -> object:
    # On first use: whoever only asks for the version pays for nothing else.
    if name not in _HOMES:
        raise AttributeError(f"module 'postroom' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
