"""POST /v1/batches: publish a batch and the task that follows it over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from postroom.admin.reach import check_covered
from postroom.admin.scopes import Scope
from postroom.api.auth import admit
from postroom.api.context import context_of
from postroom.api.intake.event_model import (
    EVENTS_MAX,
    Event,
    check_events,
    decoded,
    tenant_of,
    within_trace,
)
from postroom.base.errors import InvalidPayload
from postroom.base.tracing import arrival_span
from postroom.outbox.model import Adapter, Channel
from postroom.outbox.publish import Published, answer_of

PATH: Final = "/v1/batches"
_NOT_OF_THEN: Final = ("key", "deliver_at", "ordering_key", "unique_for_s", "replace", "throttle_s")

_encode = msgspec.json.Encoder().encode


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`then`: the task that runs once when all deliveries of `events` have ended; with `on` "success" it is
    cancelled unless all were delivered."""

    events: Annotated[list[Event], msgspec.Meta(min_length=1, max_length=EVENTS_MAX)]
    then: Event
    on: Literal["end", "success"] = "end"

    @property
    def everything(self) -> list[Event]:
        return [*self.events, self.then]


_decode = msgspec.json.Decoder(Batch).decode


def parse_batch(body: bytes) -> Batch:
    """Errors: `InvalidInput` (400) for what is no JSON, `InvalidPayload` (422) naming the field."""
    return decoded(body, _decode)


def check_batch(batch: Batch, adapters: Mapping[Channel, Adapter]) -> None:
    """Refuse what could never be sent, or is no batch. Errors: `InvalidPayload` naming the field."""
    for index, event in enumerate(batch.events):
        if event.is_unique:
            raise InvalidPayload("what is unique is no part of a batch", field=f"events[{index}]")
    if batch.then.channel != Channel.TASK:
        raise InvalidPayload("what follows a batch is a task", field="then.channel")
    for name in _NOT_OF_THEN:
        if getattr(batch.then, name):
            raise InvalidPayload("what follows a batch has none of its own", field=f"then.{name}")
    try:
        check_events(batch.events, adapters, many=True)
    except InvalidPayload as error:
        raise InvalidPayload(error.detail, field=f"events{error.field}") from None
    try:
        check_events([batch.then], adapters, many=False)
    except InvalidPayload as error:
        raise InvalidPayload(error.detail, field=f"then.{error.field}") from None


def batch_answer(published: list[Published], follower: UUID | None) -> dict[str, Any]:
    """What a publisher is told. `then`: the id of what follows; null where all was known."""
    return {"then": follower, "events": [answer_of(each) for each in published]}


async def publish_batch(request: Request) -> Response:
    """Up to 1,000 messages and the task that follows them, all or nothing.

    201 when something is new, 200 when everything was known: then nothing follows. How it stands is told with
    the message that follows: `GET /v1/admin/outbox/{then}`.
    """
    caller = await admit(request, Scope.EVENTS_WRITE, keeps_to_reach=True)
    context = context_of(request)
    batch = parse_batch(await request.body())
    check_batch(batch, context.adapters)
    if caller.reach.limited:
        for event in batch.everything:
            check_covered(caller, tenant=tenant_of(event), channel=event.channel)
    with arrival_span(f"POST {PATH}", request.headers.get("traceparent")) as traceparent:
        *events, then = within_trace(batch.everything, traceparent)
        stored, follower = await context.intake.publish_batch(events, then, on=batch.on)
    body = _encode(batch_answer(stored, follower))
    return Response(body, status_code=201 if follower else 200, media_type="application/json")
