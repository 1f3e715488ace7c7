"""What an application publishes, as the SQL functions take it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, Final, Protocol, Required, TypedDict

import msgspec

from postroom.base import json
from postroom.base.errors import InvalidInput, PublishRefused

BATCH_MAX: Final = 1000


class Dataclass(Protocol):
    """An instance of one."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class Publication(TypedDict, total=False):
    """One message: the parameters of the SQL function `postroom.publish`.

    `payload`: what JSON can hold, or a dataclass or msgspec struct of it. `key`: the same (channel, tenant,
    key) again publishes nothing. Times have a time zone.
    """

    channel: Required[str]
    payload: Required[Mapping[str, Any] | msgspec.Struct | Dataclass]
    key: str | None
    tenant: str | None
    type: str | None
    correlation_id: str | None
    ordering_key: str | None
    deliver_at: datetime | None
    traceparent: str | None
    expires_at: datetime | None
    urgency: str | None


FIELDS: Final = tuple(Publication.__annotations__)
"""In the order of the SQL function's parameters."""


def parameters(message: Mapping[str, Any]) -> tuple[str | None, ...]:
    """The parameters of `publish`. Errors: `PublishRefused` that names the field."""
    _check_names(message)
    return tuple(_text(name, message.get(name)) for name in FIELDS)


def batch(messages: Sequence[Mapping[str, Any]]) -> str:
    """The parameter of `publish_many`. Errors: `PublishRefused` that names index and field."""
    if len(messages) > BATCH_MAX:
        raise PublishRefused(f"at most {BATCH_MAX} messages at once, not {len(messages)}")
    return f"[{','.join(_element(index, message) for index, message in enumerate(messages))}]"


def _element(index: int, message: Mapping[str, Any]) -> str:
    try:
        texts = dict(zip(FIELDS, parameters(message), strict=True))
    except PublishRefused as refused:
        raise PublishRefused(refused.detail, field=f"{index}.{refused.field}") from None
    payload = texts.pop("payload")
    rest = json.encode({name: text for name, text in texts.items() if text is not None})
    return f'{rest[:-1]},"payload":{payload}}}'


def _check_names(message: Mapping[str, Any]) -> None:
    unknown = [name for name in message if name not in FIELDS]
    if unknown:
        raise PublishRefused(f"unknown; a message has {', '.join(FIELDS)}", field=unknown[0])
    for name in ("channel", "payload"):
        if message.get(name) is None:
            raise PublishRefused("is missing", field=name)


def _text(name: str, value: object) -> str | None:
    if value is None:
        return None
    if name == "payload":
        return _payload(value)
    if name in ("deliver_at", "expires_at"):
        return _moment(name, value)
    if isinstance(value, Enum):
        value = value.value
    if not isinstance(value, str):
        raise PublishRefused(f"must be text, not {type(value).__name__}", field=name)
    try:
        json.check(value, where=name)
    except InvalidInput as error:
        raise PublishRefused(error.detail, field=name) from None
    return value


def _payload(value: object) -> str:
    try:
        text = json.encode(value)
    except InvalidInput as error:
        raise PublishRefused(
            error.detail, field=(error.field or "").replace("$", "payload") or "payload"
        ) from None
    if "null" in text:
        _check_numbers(msgspec.to_builtins(value), "payload")
    if not text.startswith("{"):
        raise PublishRefused(
            f"must be a JSON object such as a dict, not {type(value).__name__}", field="payload"
        )
    return text


def _check_numbers(value: object, where: str) -> None:
    """NaN and infinity are no JSON; they would be written as null, and nobody would be told."""
    if isinstance(value, float) and not math.isfinite(value):
        raise PublishRefused(f"{value} cannot be written as JSON", field=where)
    if isinstance(value, dict):
        for name, item in value.items():
            _check_numbers(item, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_numbers(item, f"{where}[{index}]")


def _moment(name: str, value: object) -> str:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        told = "one without" if isinstance(value, datetime) else type(value).__name__
        raise PublishRefused(f"must be a datetime with a time zone, not {told}", field=name)
    return value.isoformat()
