"""POST /v1/stripe/webhook: the door that Stripe knocks on, and a hot path."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from postroom.api.http.middleware import LOG_FIELDS
from postroom.api.http.problem import problem_response
from postroom.base.errors import InvalidInput, PostroomError, TooLarge
from postroom.base.stripe_settings import StripeSettings
from postroom.base.tracing import arrival_span
from postroom.channels.stripe.ingest import Ingest, Received

BODY_TIMEOUT_S: Final = 10.0

_encode = msgspec.json.Encoder().encode


class StripeWebhook:
    """The endpoint, as an ASGI application: a `Request` for every event would cost more than its signature.

    Promise: 200 only after the commit, for a duplicate too. 400 bad signature or body, 413 too
    large, 503 with `Retry-After` while the database is away: Stripe then sends it again.
    """

    def __init__(self, ingest: Ingest, settings: StripeSettings) -> None:
        self._ingest = ingest
        self._bytes_max = settings.body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        try:
            received = await self._receive(scope, receive)
        except PostroomError as error:
            response = problem_response(error, request_id=state.get("request_id"))
            await response(scope, receive, send)
            return
        # On the request's own log line: a line more for each event is what a busy door cannot afford.
        state[LOG_FIELDS] = {
            "event_id": received.event_id,
            "event_type": received.event_type,
            "message_id": str(received.message_id),
            "duplicate": received.duplicate,
        }
        body = _encode({"received": True, "id": received.message_id, "duplicate": received.duplicate})
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _receive(self, scope: Scope, receive: Receive) -> Received:
        signature = traceparent = announced = None
        for name, value in scope["headers"]:
            if name == b"stripe-signature" and signature is None:
                signature = value.decode("latin-1")
            elif name == b"traceparent" and traceparent is None:
                traceparent = value.decode("latin-1")
            elif name == b"content-length" and announced is None:
                announced = value
        if announced is not None and announced.isdigit() and int(announced) > self._bytes_max:
            raise self._too_large()
        body = await self._read(receive) if signature else b""  # unsigned, it is refused unread
        with arrival_span(f"POST {scope['path']}", traceparent) as traceparent:
            return await self._ingest.receive(body, signature, traceparent)

    async def _read(self, receive: Receive) -> bytes:
        """The body, counted while it streams in. Errors: `TooLarge`; `InvalidInput` when it trickles."""
        body, more = await self._next(receive, 0)  # waited for no longer than `BodyLimit` lets it stall
        if not more:
            return body
        chunks = [body]
        taken = len(body)
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while more:
                    chunk, more = await self._next(receive, taken)
                    taken += len(chunk)
                    chunks.append(chunk)
        except TimeoutError:
            raise InvalidInput(f"the body did not arrive within {BODY_TIMEOUT_S:g} s", field="body") from None
        return b"".join(chunks)

    async def _next(self, receive: Receive, taken: int) -> tuple[bytes, bool]:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        if taken + len(chunk) > self._bytes_max:
            raise self._too_large()
        return chunk, message.get("more_body", False)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body is larger than {self._bytes_max} bytes", field="body")
