"""Stripe's bodies and objects under encryption at rest; without a key they lie as they came."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from postroom.base import json
from postroom.base.db import Record, query
from postroom.encryption.keyring import PREFIX, Keyring
from postroom.encryption.tables import EncryptedTable
from postroom.outbox.encryption import SEALED, is_encrypted_payload
from postroom.outbox.model import Channel


def encrypt_raw(message_id: UUID, raw: bytes, keyring: Keyring) -> bytes:
    """A signed body as it is kept."""
    if keyring.current is None:
        return raw
    return keyring.encrypt(raw, about=f"stripe-raw:{message_id}").encode()


def open_raw(message_id: UUID, kept: bytes, keyring: Keyring) -> bytes:
    """The signed body, byte for byte. Errors: `Unreadable`."""
    if not kept.startswith(PREFIX.encode()):
        keyring.check_open(Channel.STRIPE)
        return kept
    return keyring.open(kept.decode(), about=f"stripe-raw:{message_id}")


def encrypt_object(account: str, object_id: str, text: str, keyring: Keyring) -> str:
    """JSON text of a mirrored object as it is kept."""
    if keyring.current is None:
        return text
    return json.encode({SEALED: keyring.encrypt(text.encode(), about=f"stripe-object:{account}:{object_id}")})


def open_object(account: str, object_id: str, text: str, keyring: Keyring) -> str:
    """JSON text of a mirrored object. Errors: `Unreadable`."""
    if not is_encrypted_payload(text):
        keyring.check_open(Channel.STRIPE)
        return text
    encrypted: str = msgspec.json.decode(text)[SEALED]
    return keyring.open(encrypted, about=f"stripe-object:{account}:{object_id}").decode()


def _encrypt_body(row: Record, keyring: Keyring) -> tuple[object, ...]:
    return row["id"], encrypt_raw(row["id"], open_raw(row["id"], row["kept"], keyring), keyring)


def _encrypt_object(row: Record, keyring: Keyring) -> tuple[object, ...]:
    account, object_id, kept = row
    plain = open_object(account, object_id, kept, keyring)
    return account, object_id, encrypt_object(account, object_id, plain, keyring)


BODIES: Final = EncryptedTable(
    name="bodies",
    start=(UUID(int=0),),
    mark=query(__package__, "encryption_mark_bodies"),
    rows=query(__package__, "encryption_list_bodies"),
    counts=query(__package__, "encryption_count_bodies"),
    encrypt=_encrypt_body,
    store=query(__package__, "encryption_store_bodies"),
)
OBJECTS: Final = EncryptedTable(
    name="objects",
    start=("", ""),
    mark=query(__package__, "encryption_mark_objects"),
    rows=query(__package__, "encryption_list_objects"),
    counts=query(__package__, "encryption_count_objects"),
    encrypt=_encrypt_object,
    store=query(__package__, "encryption_store_objects"),
)
