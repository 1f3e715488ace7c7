"""POST /v1/stripe/webhook: the door that Stripe knocks on, and a hot path."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app.api.problem import problem_response
from app.base.errors import InvalidInput, PostroomError, TooLarge
from app.base.settings import StripeSettings
from app.base.tracing import arrival_span
from app.stripe.ingest import Ingest

BODY_TIMEOUT_S: Final = 10.0

_encode = msgspec.json.Encoder().encode


def stripe_webhook(ingest: Ingest, settings: StripeSettings) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint.

    Promise: 200 only after the commit, for a duplicate too. 400 bad signature or body, 413 too
    large, 503 with `Retry-After` while the database is away: Stripe then sends it again.
    """

    async def endpoint(request: Request) -> Response:
        try:
            body = await _read(request, settings.body_bytes_max)
            headers = request.headers
            with arrival_span(f"POST {request.url.path}", headers.get("traceparent")) as traceparent:
                received = await ingest.receive(body, headers.get("stripe-signature"), traceparent)
        except PostroomError as error:
            return problem_response(error, request_id=getattr(request.state, "request_id", None))
        answer = {"received": True, "id": received.message_id, "duplicate": received.duplicate}
        return Response(_encode(answer), media_type="application/json")

    return endpoint


async def _read(request: Request, bytes_max: int) -> bytes:
    """The body, counted while it streams in. Errors: `TooLarge`; `InvalidInput` when it stalls."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > bytes_max:
        raise TooLarge(f"the body is larger than {bytes_max} bytes", field="body")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise TooLarge(f"the body is larger than {bytes_max} bytes", field="body")
    except TimeoutError:
        raise InvalidInput(f"the body did not arrive within {BODY_TIMEOUT_S:g} s", field="body") from None
    return bytes(body)
