"""Identifiers made in this process. Message ids are made by the database (UUIDv7)."""

from __future__ import annotations

import random
from uuid import UUID

from postroom.base.errors import InvalidInput


def request_id() -> str:
    """A random id of 16 hexadecimal digits for one HTTP request."""
    return f"{random.getrandbits(64):016x}"  # a name, not a secret


def parse_uuid(text: str, *, field: str = "id") -> UUID:
    """Errors: `InvalidInput` that names the field."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput(f"{field} is no UUID", field=field) from None


def uuid_or_none(value: str | None) -> UUID | None:
    try:
        return UUID(value) if value else None
    except ValueError:
        return None
