"""The shape of the setting that says which brokers deliveries may go to."""

from __future__ import annotations

import json
import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+]*://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+):[0-9]{1,5}")


def _read(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value else {}
    except ValueError:
        raise ValueError('must be JSON such as {"nats://nats.example.com:4222": ["acme"]}') from None


def _check(origins: dict[str, list[str]]) -> dict[str, list[str]]:
    for origin, tenants in origins.items():
        if not _ORIGIN.fullmatch(origin):
            raise ValueError("each key must be scheme://host:port, in small letters")
        if not tenants:
            raise ValueError(f"{origin} names no tenant; '*' is every one")
    return origins


Brokers = Annotated[dict[str, list[str]], NoDecode, BeforeValidator(_read), AfterValidator(_check)]
"""By `scheme://host:port`: the tenants that may use it."""
