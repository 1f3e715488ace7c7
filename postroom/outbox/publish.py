"""Publishing from Python: the same SQL function that every other language calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from postroom.base import json
from postroom.base.db import Connection, fetch_one, query
from postroom.base.errors import InvalidPayload, TenantElsewhere
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.encryption import UNREADABLE, stand_in, store_payloads
from postroom.outbox.model import Channel, Message
from postroom.outbox.references import reveal

_PUBLISH_MANY = query(__package__, "publish_many")
_PUBLISH_UNIQUE = query(__package__, "publish_unique")
_PUBLISH_BATCH = query(__package__, "publish_batch")
_LIST_RECEIVERS = query(__package__, "list_receivers")
_LIST_KNOWN = query(__package__, "list_known_payloads")

FETCHED_AT_ONCE: Final = 5
_FURTHER: Final = (
    "tenant",
    "type",
    "correlation_id",
    "ordering_key",
    "deliver_at",
    "traceparent",
    "expires_at",
    "urgency",
)


class Published(msgspec.Struct, frozen=True, gc=False):
    """`new` is false where (channel, tenant, key) was known: `id` is then the first one's.

    `receivers`: how many deliveries it has, 0 where nobody listens; None unless `count_receivers` was asked.
    `payload_differs`: the first one has another payload; only `count_receivers` looks. `result` of what is
    unique: "published", "replaced" or "skipped".
    """

    id: UUID
    new: bool
    receivers: int | None = None
    payload_differs: bool = False
    result: str | None = None


def answer_of(published: Published) -> dict[str, Any]:
    """What a publisher is told. `payload_differs` is there where it is so, `result` of what is unique."""
    told = {"id": published.id, "published": published.new, "receivers": published.receivers}
    if published.result is not None:
        told["result"] = published.result
    return {**told, "payload_differs": True} if published.payload_differs else told


async def publish_many(
    conn: Connection, messages: Sequence[Message], *, keyring: Keyring = NO_KEYS
) -> list[Published]:
    """Publish in order, all or nothing. With a key, payloads reach the database only encrypted.

    Errors: `InvalidInput` for text that PostgreSQL cannot keep, `InvalidPayload` for what is too large,
    `TenantElsewhere` for a tenant that is at another ledger.
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


async def publish_batch(
    conn: Connection, messages: Sequence[Message], then: Message, *, on: str, keyring: Keyring = NO_KEYS
) -> tuple[list[Published], UUID | None]:
    """Publish a batch, and the task `then` that follows it. Returns what was published, and the task's id.

    See the SQL function `publish_batch`, and `publish_many` for errors, encryption and transaction.
    """
    plain = [*messages, then]
    given = plain if keyring.current is None else [stand_in(message) for message in plain]
    with _refused():
        rows = await conn.fetch(_PUBLISH_BATCH, json.encode(given[:-1]), json.encode(given[-1]), on)
    published = [Published(row["id"], row["published"]) for row in rows]
    follower: UUID | None = rows[0]["batch"]
    if keyring.current is not None:
        new = [(each.id, message) for each, message in zip(published, messages, strict=True) if each.new]
        new += [(follower, then)] if follower else []
        await store_payloads(conn, [(each, json.encode(message.payload)) for each, message in new], keyring)
    return published, follower


async def publish(conn: Connection, message: Message, *, keyring: Keyring = NO_KEYS) -> Published:
    """Publish one message; see `publish_many`."""
    [published] = await publish_many(conn, [message], keyring=keyring)
    return published


async def count_receivers(
    conn: Connection,
    messages: Sequence[Message],
    published: Sequence[Published],
    *,
    keyring: Keyring = NO_KEYS,
) -> list[Published]:
    """Add to what was published how many receivers each has, and whether a known one has another payload.

    Transaction: that of `publish_many`.
    """
    fanned = [
        each.id
        for message, each in zip(messages, published, strict=True)
        if message.channel == Channel.WEBHOOK and message.payload.get("url") is None
    ]
    found = await conn.fetch(_LIST_RECEIVERS, fanned) if fanned else []
    counts = {row["id"]: row["deliveries"] for row in found}
    differ = await _different(conn, messages, published, keyring)
    return [
        Published(each.id, each.new, counts.get(each.id, 1), place in differ, each.result)
        for place, each in enumerate(published)
    ]


async def _different(
    conn: Connection, messages: Sequence[Message], published: Sequence[Published], keyring: Keyring
) -> set[int]:
    """The places of known messages with another payload. What was emptied, or no key opens, is not told.

    They are fetched a few at a time: a payload may have 32 MB.
    """
    known: dict[UUID, list[int]] = {}
    for place, each in enumerate(published):
        if not each.new:
            known.setdefault(each.id, []).append(place)
    different: set[int] = set()
    if not known:
        return different
    async for row in conn.cursor(_LIST_KNOWN, list(known), prefetch=FETCHED_AT_ONCE):
        first = await reveal(conn, row["id"], row["payload"], keyring, channel=row["channel"])
        if UNREADABLE not in first:
            different.update(place for place in known[row["id"]] if messages[place].payload != first)
    return different


async def _publish(conn: Connection, messages: Sequence[Message]) -> list[Published]:
    if not any(message.is_unique for message in messages):
        return await _publish_plain(conn, messages)
    ended: dict[int, Published] = {}
    plain = [place for place, message in enumerate(messages) if not message.is_unique]
    if plain:
        stored = await _publish_plain(conn, [messages[place] for place in plain])
        ended.update(zip(plain, stored, strict=True))
    # Each locks its key: in one order, so that two batches do not wait for each other.
    for place in sorted(range(len(messages)), key=lambda place: _locked_as(messages[place])):
        if place not in ended:
            ended[place] = await _publish_unique(conn, messages[place])
    return [ended[place] for place in range(len(messages))]


def _locked_as(message: Message) -> tuple[str, str, str]:
    return message.channel, message.tenant or str(message.payload.get("tenant") or ""), message.key or ""


async def _publish_unique(conn: Connection, message: Message) -> Published:
    names = ("unique_for_s", "replace", "throttle_s", *_FURTHER)
    values = (getattr(message, name) for name in names)
    payload = json.encode(message.payload)
    with _refused():
        row = await fetch_one(conn, _PUBLISH_UNIQUE, message.channel, payload, message.key, *values)
    return Published(row["id"], row["result"] != "skipped", result=row["result"])


async def _publish_plain(conn: Connection, messages: Sequence[Message]) -> list[Published]:
    with _refused():
        rows = await conn.fetch(_PUBLISH_MANY, json.encode(messages))
    return [Published(row["id"], row["published"]) for row in rows]


@contextmanager
def _refused() -> Iterator[None]:
    try:
        with elsewhere_told():
            yield
    except asyncpg.ProgramLimitExceededError as error:
        raise InvalidPayload(str(error), field="payload") from None


@contextmanager
def elsewhere_told() -> Iterator[None]:
    """Around what calls `publish_many` in PostgreSQL: a refused tenant is `TenantElsewhere`."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if error.sqlstate != TenantElsewhere.SQLSTATE:
            raise
        raise TenantElsewhere.of(error.detail or "") from None
