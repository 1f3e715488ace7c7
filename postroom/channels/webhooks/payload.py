"""A webhook's payload, and the body that is sent: the same bytes on every attempt."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from postroom.base import json
from postroom.base.errors import InvalidInput, InvalidPayload
from postroom.channels.webhooks.address import Private
from postroom.channels.webhooks.brokers.kinds import is_broker, parse_allowed
from postroom.channels.webhooks.brokers.url import NONE_ALLOWED, Allowed
from postroom.channels.webhooks.url import parse_url
from postroom.outbox.model import NAME_CHARACTERS_MAX, check_same

DATA_BYTES_MAX = 256 * 1024
DATA_BYTES_WARNED = 20 * 1024
TYPE_PATTERN = re.compile(r"[a-zA-Z0-9_.-]{1,200}")
TENANT_CHARACTERS_MAX = NAME_CHARACTERS_MAX
_FIELDS = frozenset(("tenant", "url", "type", "data"))
_NOTHING = msgspec.Raw()


class Payload(msgspec.Struct, frozen=True, gc=False):
    """A payload as the ledger has it. `data` stays text, so that no number loses a digit."""

    url: str | None = None
    data: msgspec.Raw = _NOTHING
    tenant: Any = None
    type: Any = None


class _Body(msgspec.Struct, frozen=True, gc=False):
    """Field order is part of the signed bytes."""

    type: str
    timestamp: str
    data: msgspec.Raw


_decode = msgspec.json.Decoder(Payload).decode
_encode = msgspec.json.Encoder().encode


def check_payload(
    payload: dict[str, Any],
    *,
    allow_private: Private,
    allow_http: bool = True,
    brokers: Allowed = NONE_ALLOWED,
) -> None:
    """Refuse at publish time what could never be sent. Errors: `InvalidPayload` naming the field."""
    if unknown := sorted(payload.keys() - _FIELDS):
        raise InvalidPayload(
            f"unknown field {unknown[0]}; a webhook has tenant or url, type, data", field=unknown[0]
        )
    if (url := payload.get("url")) is not None:
        if is_broker(url):
            parse_allowed(url, tenant="", allowed=brokers, private=allow_private)
        else:
            parse_url(url, allow_private=allow_private, allow_http=allow_http)
        _check_no_tenant(payload.get("tenant"))
    _check_tenant(payload.get("tenant"), needed=payload.get("url") is None)
    check_type(payload.get("type"))
    if "data" not in payload:
        raise InvalidPayload("data is missing", field="data")
    try:
        size_bytes = len(json.encode(payload["data"]).encode())
    except InvalidInput as error:
        raise InvalidPayload(error.detail, field="data") from None
    _check_size(size_bytes)


def check_type(value: object) -> str:
    """One exact event type. Errors: `InvalidPayload` for field `type`."""
    if not isinstance(value, str) or not TYPE_PATTERN.fullmatch(value):
        raise InvalidPayload(
            "type must have 1 to 200 letters, digits, dots, dashes or underscores", field="type"
        )
    return value


def read_payload(text: str, *, tenant: str, type_: str) -> Payload:
    """A message's payload, from its JSON text, with compact `data`; `tenant` and `type_` are the message's.

    Errors: `InvalidPayload` for what was published by SQL and can never be sent.
    """
    try:
        payload = _decode(text)
    except msgspec.ValidationError:
        raise InvalidPayload("the payload is no object with a text as url", field="payload") from None
    if payload.data == _NOTHING:
        raise InvalidPayload("data is missing", field="data")
    if payload.url is not None:
        _check_no_tenant(tenant)
    check_same("tenant", payload.tenant, tenant)
    check_same("type", payload.type, type_)
    check_type(type_)
    data = msgspec.json.format(bytes(payload.data), indent=-1)
    _check_size(len(data))
    return Payload(url=payload.url, data=msgspec.Raw(data))


def build_body(payload: Payload, *, type_: str, created_at: datetime) -> bytes:
    """`{"type", "timestamp", "data"}`; the timestamp is the publication's, not the attempt's."""
    created = created_at.astimezone(UTC).isoformat(timespec="microseconds")
    return _encode(_Body(type_, created.replace("+00:00", "Z"), payload.data))


def _check_tenant(value: object, *, needed: bool) -> None:
    if value is None and not needed:
        return
    if not isinstance(value, str) or not 1 <= len(value) <= TENANT_CHARACTERS_MAX:
        raise InvalidPayload(
            "tenant must be a text of 1 to 200 characters, unless there is a url", field="tenant"
        )


def _check_no_tenant(tenant: object) -> None:
    """With a url, the tenant's endpoints, their secrets, types and state would be passed by unseen."""
    if tenant:
        raise InvalidPayload(
            "names a tenant and a url: leave out url to reach the tenant's endpoints, "
            "or tenant to post to the url",
            field="tenant",
        )


def _check_size(size_bytes: int) -> None:
    if size_bytes > DATA_BYTES_MAX:
        raise InvalidPayload(f"data has more than {DATA_BYTES_MAX} bytes", field="data")
