"""POST /v1/events: publish over HTTP; a hot path."""

from __future__ import annotations

from typing import Final

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from postroom.admin.reach import check_covered
from postroom.admin.scopes import Scope
from postroom.api.auth import admit
from postroom.api.context import context_of
from postroom.api.intake.event_model import check_events, parse_events, tenant_of, within_trace
from postroom.base.tracing import arrival_span
from postroom.outbox.publish import Published, answer_of

BODY_BYTES_MAX: Final = 16 * 1_048_576

_encode = msgspec.json.Encoder().encode


async def publish_events(request: Request) -> Response:
    """One object or a list of up to 1,000, all or nothing; ids come back in order.

    `published` is false where the (channel, tenant, key) was known: the id is then the first one's, and
    `payload_differs` tells that the first one said something else.
    `receivers` is how many it goes to: 0 for a webhook whose tenant has no endpoint for its type.
    201 when something is new, 200 when everything was known. A `traceparent` header is booked with
    each event that names none itself.
    """
    caller = await admit(request, Scope.EVENTS_WRITE, keeps_to_reach=True)
    context = context_of(request)
    events, many = parse_events(await request.body())
    check_events(events, context.adapters, many=many)
    if caller.reach.limited:
        for event in events:
            check_covered(caller, tenant=tenant_of(event), channel=event.channel)
    with arrival_span(f"POST {request.url.path}", request.headers.get("traceparent")) as traceparent:
        stored = await context.intake.publish(within_trace(events, traceparent))
    _note_for_log(stored)
    answers = [answer_of(published) for published in stored]
    body = {"events": answers} if many else answers[0]
    status = 201 if any(published.new for published in stored) else 200
    return Response(_encode(body), status_code=status, media_type="application/json")


def _note_for_log(stored: list[Published]) -> None:
    """On the request's own log line: which message it was, or how many."""
    if len(stored) == 1:
        structlog.contextvars.bind_contextvars(message_id=str(stored[0].id))
    else:
        structlog.contextvars.bind_contextvars(message_count=len(stored))
