"""The address that bounces come back to: it says, signed, which mail it was and since when (VERP)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final
from uuid import UUID

from postroom.base.email_settings import EmailSettings

_SIGNED_BYTES: Final = 20
_MAC_BYTES: Final = 10
# In base32, for servers on the way may change the case of an address.
_TOKEN: Final = "([a-z2-7]{48})"  # noqa: S105
CANDIDATES_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Sent:
    """One sending of one mail, with all of its attempts; a replay is another one.

    `since`: the milliseconds at which it began, of which 32 bits tell one from another.
    """

    message_id: UUID
    since: int


def return_path(settings: EmailSettings, message_id: UUID, since_s: float) -> str | None:
    """The envelope sender, signed by the first secret; None where bounces are not read.

    The same on each attempt, or a server that greylists would never let one pass.
    """
    secret = next(_secrets(settings), None)
    if settings.bounces_address is None or secret is None:
        return None
    signed = message_id.bytes + (int(since_s * 1_000) & 0xFFFFFFFF).to_bytes(4, "big")
    token = base64.b32encode(signed + _mac(secret, signed)).decode().lower()
    return settings.bounces_address.replace("*", token)


def find_sent(settings: EmailSettings, text: str) -> Sent | None:
    """The sending whose return path stands in the text, signed by one of the secrets.

    Who has it has seen the mail. Does not promise that the rest of what they say is true.
    """
    before, _, after = (settings.bounces_address or "").partition("*")
    pattern = re.compile(f"{re.escape(before)}{_TOKEN}{re.escape(after)}", re.IGNORECASE)
    for found in islice(pattern.finditer(text) if after else (), CANDIDATES_MAX):
        token = base64.b32decode(found[1].upper())
        signed, mac = token[:_SIGNED_BYTES], token[_SIGNED_BYTES:]
        if any(hmac.compare_digest(mac, _mac(secret, signed)) for secret in _secrets(settings)):
            return Sent(UUID(bytes=signed[:16]), int.from_bytes(signed[16:], "big"))
    return None


def _secrets(settings: EmailSettings) -> Iterator[str]:
    secrets = settings.bounces_secrets
    parts = secrets.get_secret_value().split(",") if secrets else ()
    return (each for part in parts if (each := part.strip()))


def _mac(secret: str, signed: bytes) -> bytes:
    return hmac.digest(secret.encode(), b"postroom return path\0" + signed, hashlib.sha256)[:_MAC_BYTES]
