"""Records under encryption at rest."""

from __future__ import annotations

from uuid import UUID

import msgspec

from postroom.encryption.keyring import Keyring
from postroom.outbox.encryption import open_payload


class _Payload(msgspec.Struct):
    record: msgspec.Raw


_decode = msgspec.json.Decoder(_Payload).decode


def open_record(message_id: UUID, encrypted: str, keyring: Keyring) -> str:
    """JSON text of the record in an encrypted payload, digit for digit. Errors: `Unreadable`."""
    return bytes(_decode(open_payload(message_id, encrypted, keyring)).record).decode()
