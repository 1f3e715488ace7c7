"""Payloads that refer to a Stripe event instead of repeating it.

An effect of an event mostly holds the event's object, and often the event: with three effects, four copies of
it were parsed, compressed, kept and read. Such a payload is kept as

    {"$": "event:1:<message id of the event>", "$with": {"data": "object"}, "tenant": "…"}

and completed before an adapter sees it, or a person. See ADR 12.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from postroom.base import json
from postroom.base.db import Connection, query
from postroom.encryption.keyring import Keyring, Unreadable
from postroom.outbox.encryption import SEALED, UNREADABLE, open_payload
from postroom.outbox.model import Channel

PREFIX: Final = "event:1:"
WITH: Final = "$with"
GONE: Final = "the Stripe event that this payload refers to is no longer kept"
_BEGINNING: Final = re.compile(rf'{{"\{SEALED}": ?"{PREFIX}([0-9a-f-]{{36}})"')
_LIST: Final = query(__package__, "list_sources")


class _Data(msgspec.Struct):
    object: msgspec.Raw


class _Event(msgspec.Struct):
    data: _Data


_encode: Final = msgspec.json.Encoder().encode
_read_event: Final = msgspec.json.Decoder(_Event).decode


@dataclass(frozen=True, slots=True)
class Source:
    """What payloads refer to: an event and its object, as JSON texts."""

    event: msgspec.Raw
    object: msgspec.Raw

    @classmethod
    def of(cls, text: str) -> Source | None:
        """None for what is no longer there: retention or an erasure has emptied it."""
        try:
            found = _read_event(text).data.object
        except msgspec.DecodeError:
            return None
        return cls(msgspec.Raw(text.encode()), found)

    @property
    def size_bytes(self) -> int:
        return len(bytes(self.event)) * 2


def refer(payload: dict[str, Any], *, source: UUID, event: dict[str, Any]) -> dict[str, Any]:
    """The payload without what it has in common with the event; as it is where that is nothing.

    Only the very objects count, not equal ones, and only where they are all of a field. A thin event has no
    object to refer to.
    """
    data = event.get("data")
    subject = data.get("object") if isinstance(data, dict) else None
    if not isinstance(subject, dict):
        return payload
    parts = {"event": event, "object": subject}
    common = {name: found for name, value in payload.items() if (found := _common(value, parts)) is not None}
    if not common:
        return payload
    rest = {name: value for name, value in payload.items() if name not in common}
    return {SEALED: f"{PREFIX}{source}", WITH: common, **rest}


def _common(value: object, parts: Mapping[str, object]) -> Any:
    """What stands for the value, or None."""
    for name, part in parts.items():
        if value is part:
            return name
    if not isinstance(value, dict) or not value:
        return None
    inside = {name: _common(each, parts) for name, each in value.items()}
    return None if None in inside.values() else inside


def source_of(text: str) -> UUID | None:
    """The message of the event that a payload, given as JSON text, refers to; None where it is whole."""
    found = _BEGINNING.match(text)
    return UUID(found[1]) if found else None


def complete(text: str, source: Source) -> str:
    """JSON text of the whole payload."""
    payload: dict[str, Any] = msgspec.json.decode(text)
    del payload[SEALED]
    filled = {name: _filled(each, source) for name, each in payload.pop(WITH).items()}
    return _encode(filled | payload).decode()  # of what PostgreSQL has kept


def _filled(common: Any, source: Source) -> Any:
    if isinstance(common, dict):
        return {name: _filled(each, source) for name, each in common.items()}
    return source.event if common == "event" else source.object


async def fetch_sources(conn: Connection, ids: Sequence[UUID], keyring: Keyring) -> dict[UUID, Source]:
    """Those that are still kept. Errors: `Unreadable`."""
    rows = await conn.fetch(_LIST, ids)
    texts = {
        row["id"]: open_payload(row["id"], row["payload"], keyring, channel=Channel.STRIPE) for row in rows
    }
    return {id_: source for id_, text in texts.items() if (source := Source.of(text)) is not None}


async def reveal(conn: Connection, message_id: UUID, text: str, keyring: Keyring, *, channel: str) -> Any:
    """The whole payload for somebody who reads. Where no key opens it, or its event is gone, it says so."""
    try:
        opened = open_payload(message_id, text, keyring, channel=channel)
        wanted = source_of(opened)
        if wanted is None:
            return json.decode(opened)
        source = (await fetch_sources(conn, [wanted], keyring)).get(wanted)
    except Unreadable as error:
        return {UNREADABLE: error.detail}
    return {UNREADABLE: GONE} if source is None else json.decode(complete(opened, source))
