"""The form of the keys in the settings."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

SETTING: Final = "POSTROOM_ENCRYPTION__KEYS"
REQUIRED_SETTING: Final = "POSTROOM_ENCRYPTION__REQUIRED_FROM"
KEY_BYTES: Final = 32
KEY_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
DERIVES: Final = "v2"
"""Stands between the name of a key and its bytes where other keys are derived from it."""


class NamedKey(NamedTuple):
    """`derives`: it encrypts nothing itself; each message has a key of its own that is derived from it.

    One that does not (`name:base64`) is of before, and encrypts payloads only. So the key itself says what it
    takes to read what lies under it: a process of before refuses one that derives, and never writes with it.
    """

    name: str
    secret: bytes
    derives: bool = True


def parse_keys(texts: Iterable[str]) -> list[NamedKey]:
    """Keys of the form `name:v2:base64` or `name:base64`. Errors: `ValueError`, which never holds a key."""
    keys: list[NamedKey] = []
    for position, text in enumerate(texts, start=1):
        name, colon, rest = text.partition(":")
        if not colon or not KEY_NAME.fullmatch(name):
            raise ValueError(f"key {position} is not of the form name:v2:base64 (name: a-z, 0-9, _ and -)")
        encoded = rest.removeprefix(f"{DERIVES}:")
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"key {position} is not base64 behind its name") from None
        if len(key) != KEY_BYTES:
            raise ValueError(f"key {position} has {len(key)} bytes instead of {KEY_BYTES}")
        if name in (known.name for known in keys):
            raise ValueError(f"key {position} has the name of another one")
        keys.append(NamedKey(name, key, derives=encoded != rest))
    return keys
