"""Publishing from Python: the same SQL function that every other language calls."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec

from postroom.base import json
from postroom.base.db import Connection, query
from postroom.base.errors import InvalidPayload
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.encryption import stand_in, store_payloads
from postroom.outbox.model import Channel, Message

_PUBLISH_MANY = query(__package__, "publish_many")
_LIST_RECEIVERS = query(__package__, "list_receivers")


class Published(msgspec.Struct, frozen=True, gc=False):
    """`new` is false where (channel, key) was known: `id` is then the first one's.

    `receivers`: how many deliveries it has, 0 where nobody listens; None unless `count_receivers` was asked.
    """

    id: UUID
    new: bool
    receivers: int | None = None


async def publish_many(
    conn: Connection, messages: Sequence[Message], *, keyring: Keyring = NO_KEYS
) -> list[Published]:
    """Publish in order, all or nothing. With a key, payloads reach the database only encrypted.

    Errors: `InvalidInput` for text that PostgreSQL cannot keep, `InvalidPayload` for what is too large.
    Transaction: the caller's; nothing is sent unless it commits.
    """
    if not messages:
        return []
    if keyring.current is None:
        return await _publish(conn, messages)
    if not conn.is_in_transaction():
        raise RuntimeError("an encrypted message is written in two steps, which need a transaction")
    texts = [json.encode(message.payload) for message in messages]
    published = await _publish(conn, [stand_in(message) for message in messages])
    new = [(each.id, text) for each, text in zip(published, texts, strict=True) if each.new]
    await store_payloads(conn, new, keyring)
    return published


async def publish(conn: Connection, message: Message, *, keyring: Keyring = NO_KEYS) -> Published:
    """Publish one message; see `publish_many`."""
    [published] = await publish_many(conn, [message], keyring=keyring)
    return published


async def count_receivers(
    conn: Connection, messages: Sequence[Message], published: Sequence[Published]
) -> list[Published]:
    """Add to what was published how many receivers each message has. Transaction: that of `publish_many`."""
    fanned = [
        each.id
        for message, each in zip(messages, published, strict=True)
        if message.channel == Channel.WEBHOOK and message.payload.get("url") is None
    ]
    found = await conn.fetch(_LIST_RECEIVERS, fanned) if fanned else []
    counts = {row["id"]: row["deliveries"] for row in found}
    return [Published(each.id, each.new, counts.get(each.id, 1)) for each in published]


async def _publish(conn: Connection, messages: Sequence[Message]) -> list[Published]:
    try:
        rows = await conn.fetch(_PUBLISH_MANY, json.encode(messages))
    except asyncpg.ProgramLimitExceededError as error:
        raise InvalidPayload(str(error), field="payload") from None
    return [Published(row["id"], row["published"]) for row in rows]
