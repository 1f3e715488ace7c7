"""Standard Webhooks 1.0: secrets and signatures (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from pydantic import SecretStr

from postroom.base.errors import InvalidInput

PREFIX = "whsec_"
KEY_BYTES_MIN = 24
KEY_BYTES_MAX = 64
_KEY_BYTES = 32
_KEYS_KEPT_MAX = 4_000


def generate_secret() -> SecretStr:
    """A new secret of 32 random bytes."""
    return SecretStr(PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode())


def decode_secret(secret: SecretStr) -> bytes:
    """The key that signs: the decoded bytes, not the text.

    Errors: `InvalidInput`, which never repeats the secret, unless it is `whsec_` and the
    base64 of 24 to 64 bytes.
    """
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(PREFIX) or not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise InvalidInput(
            f"a secret is {PREFIX} and the base64 of {KEY_BYTES_MIN} to {KEY_BYTES_MAX} random bytes",
            field="secret",
        )
    return key


def sign(*, message_id: str, timestamp_s: int, body: bytes, keys: Iterable[SecretStr]) -> str:
    """The `webhook-signature` header: one `v1` signature a secret, separated by spaces."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return " ".join([_signature(key, signed) for key in keys])


def signed_headers(
    message_id: UUID, body: bytes, *, at: datetime, keys: Iterable[SecretStr]
) -> dict[str, str]:
    """The three headers of a webhook that is sent `at` this moment."""
    text, timestamp_s = str(message_id), int(at.timestamp())
    return {
        "webhook-id": text,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(message_id=text, timestamp_s=timestamp_s, body=body, keys=keys),
    }


def _signature(secret: SecretStr, signed: bytes) -> str:
    keyed = _keyed(secret).copy()
    keyed.update(signed)
    return "v1," + base64.b64encode(keyed.digest()).decode()


@lru_cache(maxsize=_KEYS_KEPT_MAX)  # the key's own blocks are hashed once, not at each delivery
def _keyed(secret: SecretStr) -> hmac.HMAC:
    return hmac.new(decode_secret(secret), digestmod=hashlib.sha256)
