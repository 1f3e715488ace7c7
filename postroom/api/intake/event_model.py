"""What POST /v1/events takes, checked before anything is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec

from postroom.base import json
from postroom.base.errors import InvalidInput, InvalidPayload
from postroom.outbox.encryption import SEALED
from postroom.outbox.model import OUTBOUND, Adapter, Channel, Message

EVENTS_MAX: Final = 1_000
YEAR_MAX: Final = 9_999
"""Of `deliver_at`, as in SQL."""
RESERVED_KEYS: Final = "stripe:"
"""How the keys begin of what Stripe's events cause: one that was taken would make an effect a duplicate."""
_PATH: Final = re.compile(r" - at `\$(.*)`$")

T = TypeVar("T")
Name = Annotated[str, msgspec.Meta(max_length=200)]
Window = Annotated[float, msgspec.Meta(ge=0.001, le=31_536_000)]


class Event(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message as a client sends it: the same fields, with the limits of the ledger."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | None = None
    tenant: Name | None = None
    type: Name | None = None
    correlation_id: Name | None = None
    ordering_key: Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | None = None
    deliver_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    traceparent: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    unique_for_s: Window | None = None
    throttle_s: Window | None = None


_decode_one = msgspec.json.Decoder(Event).decode
_decode_many = msgspec.json.Decoder(list[Event]).decode


def parse_events(body: bytes) -> tuple[list[Event], bool]:
    """The events of a request body, and whether it was a list.

    Errors: `InvalidInput` (400) for what is no JSON, `InvalidPayload` (422) naming field and index.
    """
    many = body.lstrip()[:1] == b"["
    events = decoded(body, _decode_many) if many else [decoded(body, _decode_one)]
    if not 1 <= len(events) <= EVENTS_MAX:
        raise InvalidPayload(f"send 1 to {EVENTS_MAX} events at once, not {len(events)}", field="body")
    return events, many


def decoded(body: bytes, decode: Callable[[bytes], T]) -> T:
    """What a request body holds. Errors: as `parse_events`."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _PATH.search(text)
        field = found[1].lstrip(".") if found else None
        raise InvalidPayload(_PATH.sub("", text), field=field or "body") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise json.refusal(body, error) from None


def within_trace(events: list[Event], traceparent: str | None) -> list[Event]:
    """The events with the request's traceparent; an event's own stays."""
    if traceparent is None:
        return events
    return [
        event if event.traceparent else msgspec.structs.replace(event, traceparent=traceparent)
        for event in events
    ]


def check_events(events: list[Event], adapters: Mapping[Channel, Adapter], *, many: bool) -> None:
    """Refuse what could never be sent. Errors: `InvalidPayload` naming index and field."""
    for index, event in enumerate(events):
        try:
            _check(event, adapters)
        except InvalidInput as error:
            field = f"[{index}].{error.field or 'payload'}" if many else error.field
            raise InvalidPayload(error.detail, field=field) from None


def tenant_of(event: Event) -> str:
    """Whose it will be, as SQL decides it; empty: nobody's."""
    tenant = event.payload.get("tenant") if event.tenant is None else event.tenant
    return tenant if isinstance(tenant, str) else ""


def _check(event: Event, adapters: Mapping[Channel, Adapter]) -> None:
    known = [channel for channel in OUTBOUND if channel in adapters]
    if event.channel not in known:
        raise InvalidPayload(f"unknown channel; known: {', '.join(known)}", field="channel")
    for name in ("key", "tenant", "type", "correlation_id", "ordering_key", "traceparent"):
        json.check(getattr(event, name), where=name)
    json.check(event.payload, where="payload")
    if event.key is not None and event.key.startswith(RESERVED_KEYS):
        raise InvalidPayload(f"keys that begin with {RESERVED_KEYS} are Postroom's own", field="key")
    if event.deliver_at is not None and event.deliver_at.year >= YEAR_MAX:
        raise InvalidPayload(f"must be before the year {YEAR_MAX}", field="deliver_at")
    if event.expires_at is not None and event.deliver_at is not None and event.expires_at <= event.deliver_at:
        raise InvalidPayload("must be after deliver_at", field="expires_at")
    if event.is_unique:
        _check_unique(event)
    if SEALED in event.payload:
        raise InvalidPayload(f"{SEALED} is the name of what Postroom encrypted itself", field=SEALED)
    adapters[Channel(event.channel)].check(_completed(event))


def _check_unique(event: Event) -> None:
    if event.key is None:
        raise InvalidPayload("is what unique_for_s, replace and throttle_s are about: give one", field="key")
    if event.throttle_s is not None and (event.unique_for_s is not None or event.deliver_at is not None):
        raise InvalidPayload("goes with neither unique_for_s nor deliver_at", field="throttle_s")


def _completed(event: Event) -> dict[str, Any]:
    """The payload as its channel sees it. What stands beside it wins; another name inside is refused.

    Errors: `InvalidPayload` naming the field.
    """
    beside = {name: value for name in ("tenant", "type") if (value := getattr(event, name)) is not None}
    for name, value in beside.items():
        if event.payload.get(name) not in (None, value):
            raise InvalidPayload(f"the payload names another {name}", field=name)
    return {**event.payload, **beside} if event.channel == Channel.WEBHOOK else event.payload
