"""Payloads under encryption at rest: how they lie in the ledger, and how the engine gets them back.

A sealed payload is `{"$": "sealed:1:…"}`; an email's has a pseudonym of its address as `to` beside it,
by which the console's search finds it. See ADR 8.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from postroom.base import json
from postroom.base.db import Connection, Record, query
from postroom.encryption.keyring import PREFIX, KeyMissing, Keyring, Unreadable
from postroom.encryption.tables import EncryptedTable
from postroom.outbox.model import Answer, Cause, Channel, Claim, Deferred, Message, Rejected, Try, Wait

_STORE: Final = query(__package__, "store_payloads")

SEALED: Final = "$"
"""The reserved name in a payload. As the shortest it comes first in the text of a `jsonb`."""
EMPTIED: Final = "{}"
"""What retention leaves of a payload."""
UNREADABLE: Final = "$unreadable"
"""Stands for a payload that cannot be shown, with the reason."""
RESERVED: Final = f'{{"{SEALED}": "'
"""How the text of a payload begins that is encrypted, or refers to an event (`references`)."""
_BEGINNING: Final = f'{{"{SEALED}": "{PREFIX}'
KEY_WAIT_MIN_S: Final = 5.0
KEY_WAIT_MAX_S: Final = 300.0
_ORIGIN: Final = re.compile(r"([A-Za-z]+://)(?:[^/@?#]*@)?([^/?#]+)")


class _Addressed(msgspec.Struct):
    to: str | None = None


_read_addressed: Final = msgspec.json.Decoder(_Addressed).decode


def about(message_id: UUID) -> str:
    """What a payload is bound to."""
    return f"message:{message_id}"


def is_encrypted_payload(text: str) -> bool:
    """Whether the text of a payload's `jsonb` is an encrypted one."""
    return text.startswith(_BEGINNING)


def stand_in(message: Message) -> Message:
    """The message with all that publishing looks at, and without its payload: that follows encrypted."""
    names = {name: message.payload[name] for name in ("tenant", "type") if name in message.payload}
    where_to = _where_to(message.channel, message.payload)
    return msgspec.structs.replace(message, payload={SEALED: PREFIX, **names, **where_to})


async def store_payloads(conn: Connection, payloads: Sequence[tuple[UUID, str]], keyring: Keyring) -> None:
    """Encrypt payloads, given as (message id, JSON text), and write them into their rows.

    Transaction: the caller's, which must hold the rows: what is there is replaced.
    """
    if payloads:
        encrypted = [encrypt_payload(message_id, text, keyring) for message_id, text in payloads]
        await conn.execute(_STORE, [message_id for message_id, _ in payloads], encrypted)


def encrypt_payload(message_id: UUID, text: str, keyring: Keyring) -> str:
    """JSON text of an encrypted payload. `text`: the payload itself."""
    envelope = {SEALED: keyring.encrypt(text.encode(), about=about(message_id))}
    address = _address(text)
    if address is not None:
        envelope["to"] = keyring.pseudonym(address)
    return json.encode(envelope)


def _encrypt_row(row: Record, keyring: Keyring) -> tuple[object, ...]:
    plain = open_payload(row["id"], row["kept"], keyring, channel=row["channel"])
    return row["id"], encrypt_payload(row["id"], plain, keyring)


MESSAGES: Final = EncryptedTable(
    name="messages",
    start=(UUID(int=0),),
    mark=query(__package__, "encryption_mark"),
    rows=query(__package__, "encryption_list"),
    counts=query(__package__, "encryption_count"),
    encrypt=_encrypt_row,
    store=_STORE,
)


def open_payload(message_id: UUID, text: str, keyring: Keyring, *, channel: str) -> str:
    """JSON text of a payload; one that is not encrypted as it is, unless that is refused.

    Errors: `Unreadable`.
    """
    if not is_encrypted_payload(text):
        if text != EMPTIED:
            keyring.check_open(channel)
        return text
    return decrypt_payload(message_id, text, keyring)


def decrypt_payload(message_id: UUID, text: str, keyring: Keyring) -> str:
    """JSON text of an encrypted payload. Errors: `Unreadable`."""
    encrypted: str = msgspec.json.decode(text)[SEALED]
    return keyring.open(encrypted, about=about(message_id)).decode()


async def try_opened(claims: Sequence[Claim], keyring: Keyring, attempt: Try) -> Sequence[Answer]:
    """Hand on what can be opened; see `unreadable` for the rest. One answer each, in order.

    Neither the adapter nor a breaker hears of what could not be opened.
    """
    answers: dict[int, Answer] = {}
    opened: dict[int, Claim] = {}
    for place, claim in enumerate(claims):
        try:
            text = open_payload(claim.message_id, claim.payload, keyring, channel=claim.channel)
            opened[place] = msgspec.structs.replace(claim, payload=text)
        except Unreadable as error:
            answers[place] = unreadable(error, claim)
    if opened:
        answers.update(zip(opened, await attempt(list(opened.values())), strict=True))
    return [answers[place] for place in range(len(claims))]


def unreadable(error: Unreadable, claim: Claim) -> Answer:
    """What becomes of a delivery that cannot be opened here. One whose key is missing waits: while a key is
    given to one process after the other, the next one has it. Else it is dead at once, by our own fault."""
    if not isinstance(error, KeyMissing):
        return Rejected(error.detail, code=error.code, cause=Cause.OURS)
    # A tenth of its age: soon where a key has just been made, and seldom where a whole queue waits for one.
    age_s = (claim.claimed_s or claim.created_s) - claim.created_s
    return Deferred(
        Wait.KEY_MISSING, error.detail, after_s=min(max(age_s / 10, KEY_WAIT_MIN_S), KEY_WAIT_MAX_S)
    )


def _where_to(channel: str, payload: dict[str, Any]) -> dict[str, str]:
    """What `postroom.destination` and the fan-out look at: host of a url, name of a dataset or task."""
    match channel:
        case Channel.WEBHOOK if payload.get("url") is not None:
            found = _ORIGIN.match(_text(payload["url"]) or "")
            return {"url": "".join(found.groups()) if found else "?"}
        case Channel.EXPORT if payload.get("dataset") is not None:
            return {"dataset": (_text(payload["dataset"]) or "")[:200]}
        case Channel.TASK if payload.get("task") is not None:
            return {"task": (_text(payload["task"]) or "")[:200]}
        case _:
            return {}


def _address(text: str) -> str | None:
    """The one address of a payload that has one; nothing else of it is read, whatever it holds."""
    try:
        return _read_addressed(text).to
    except (msgspec.DecodeError, RecursionError):
        return None


def _text(value: object) -> str | None:
    """As `->>` of PostgreSQL reads a value."""
    return value if isinstance(value, str) or value is None else json.encode(value)
