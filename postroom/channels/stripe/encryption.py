"""Stripe's bodies and objects under encryption at rest; without a key they lie as they came."""

from __future__ import annotations

from uuid import UUID

import msgspec

from postroom.base import json
from postroom.encryption.keyring import PREFIX, Keyring
from postroom.outbox.encryption import SEALED, is_encrypted_payload


def encrypt_raw(message_id: UUID, raw: bytes, keyring: Keyring) -> bytes:
    """A signed body as it is kept. One that is encrypted gets the current key. Errors: `Unreadable`."""
    if keyring.current is None:
        return raw
    return keyring.encrypt(open_raw(message_id, raw, keyring), about=f"stripe-raw:{message_id}").encode()


def open_raw(message_id: UUID, kept: bytes, keyring: Keyring) -> bytes:
    """The signed body, byte for byte. Errors: `Unreadable`."""
    if not kept.startswith(PREFIX.encode()):
        return kept
    return keyring.open(kept.decode(), about=f"stripe-raw:{message_id}")


def encrypt_object(account: str, object_id: str, text: str, keyring: Keyring) -> str:
    """JSON text of a mirrored object as it is kept; else as `encrypt_raw`."""
    if keyring.current is None:
        return text
    plain = open_object(account, object_id, text, keyring).encode()
    return json.encode({SEALED: keyring.encrypt(plain, about=f"stripe-object:{account}:{object_id}")})


def open_object(account: str, object_id: str, text: str, keyring: Keyring) -> str:
    """JSON text of a mirrored object. Errors: `Unreadable`."""
    if not is_encrypted_payload(text):
        return text
    encrypted: str = msgspec.json.decode(text)[SEALED]
    return keyring.open(encrypted, about=f"stripe-object:{account}:{object_id}").decode()
