"""Opaque cursors: the place of the last item of a page, so that pages neither skip nor repeat."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from postroom.base.errors import InvalidInput

Position = TypeVar("Position")


def encode_cursor(position: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode_cursor(text: str | None, kind: type[Position]) -> Position | None:
    """Errors: `InvalidInput` (400) for anything that no page has given out."""
    if text is None:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise InvalidInput("this cursor comes from no page", field="cursor") from None
