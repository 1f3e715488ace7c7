"""Publishing in Django's transaction. The app `postroom.contrib.django` adds checks: see `checks`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections

from postroom.client import publish as client
from postroom.client.message import Publication

__all__ = ["publish", "publish_many"]


def publish(*, using: str = DEFAULT_DB_ALIAS, **message: Unpack[Publication]) -> UUID:
    """`postroom.publish` in the open `transaction.atomic(using)`."""
    connection: client.SyncConnection = connections[using]
    return client.publish(connection, **message)


def publish_many(messages: Sequence[Publication], *, using: str = DEFAULT_DB_ALIAS) -> list[UUID]:
    """`postroom.publish_many` in the open `transaction.atomic(using)`."""
    connection: client.SyncConnection = connections[using]
    return client.publish_many(connection, messages)
