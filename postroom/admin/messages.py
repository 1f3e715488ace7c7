"""What an operator does to one message or one endpoint by hand."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from postroom.base import json
from postroom.base.db import Connection, query
from postroom.base.errors import Conflict, NotFound

PING_TYPE: Final = "postroom.ping"

_PING = query(__package__, "insert_ping")
_DELIVER_NOW = query(__package__, "deliver_now")
_WAKE = query(__package__, "wake_channel")


async def send_ping(
    conn: Connection, endpoint_id: UUID, *, data: dict[str, Any], event_type: str = PING_TYPE
) -> UUID:
    """Send a webhook to this endpoint alone, whatever types it listens to. Returns: the message's id.

    A parked endpoint gets it once it is resumed. Errors: `NotFound`.
    Transaction: the caller's; it is on its way once that commits.
    """
    message_id: UUID | None = await conn.fetchval(_PING, endpoint_id, event_type, json.encode(data))
    if message_id is None:
        raise NotFound("there is no such endpoint", field="endpoint_id")
    await conn.execute(_WAKE, "webhook")
    return message_id


async def deliver_now(conn: Connection, message_id: UUID) -> int:
    """Make due now what waits for its time or its next try. Returns: how many deliveries.

    Does not promise: a parked delivery stays parked, and an open breaker still stops it.
    Errors: `Conflict` when nothing of it waits. Transaction: the caller's.
    """
    channels = [row["channel"] for row in await conn.fetch(_DELIVER_NOW, message_id)]
    if not channels:
        raise Conflict("nothing of this message waits for its time")
    await conn.execute(_WAKE, channels[0])
    return len(channels)
