"""Publishing from Python: the same SQL function that every other language calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from app.base import json
from app.base.db import Connection, query
from app.outbox.model import Message

_PUBLISH_MANY = query(__package__, "publish_many")


@dataclass(frozen=True, slots=True)
class Published:
    """`new` is false where (channel, key) was known: `id` is then the first one's."""

    id: UUID
    new: bool


async def publish_many(conn: Connection, messages: Sequence[Message]) -> list[Published]:
    """Publish in order, all or nothing.

    Errors: `InvalidInput` for text that PostgreSQL cannot keep.
    Transaction: the caller's; nothing is sent unless it commits.
    """
    if not messages:
        return []
    rows = await conn.fetch(_PUBLISH_MANY, json.encode([msgspec.to_builtins(m) for m in messages]))
    return [Published(row["id"], row["published"]) for row in rows]


async def publish(conn: Connection, message: Message) -> Published:
    """Publish one message; see `publish_many`."""
    [published] = await publish_many(conn, [message])
    return published
