"""The form of the keys in the settings."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

SETTING: Final = "POSTROOM_ENCRYPTION__KEYS"
KEY_BYTES: Final = 32
KEY_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def parse_keys(texts: Iterable[str]) -> list[tuple[str, bytes]]:
    """Keys of the form `name:base64`. Errors: `ValueError`, which never holds a key."""
    keys: list[tuple[str, bytes]] = []
    for position, text in enumerate(texts, start=1):
        name, colon, encoded = text.partition(":")
        if not colon or not KEY_NAME.fullmatch(name):
            raise ValueError(f"key {position} is not of the form name:base64 (name: a-z, 0-9, _ and -)")
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"key {position} is not base64 behind its name") from None
        if len(key) != KEY_BYTES:
            raise ValueError(f"key {position} has {len(key)} bytes instead of {KEY_BYTES}")
        if name in (known for known, _ in keys):
            raise ValueError(f"key {position} has the name of another one")
        keys.append((name, key))
    return keys
