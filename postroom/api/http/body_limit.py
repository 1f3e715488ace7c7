"""A limit on what a request may send, and on how long it may take to send it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from postroom.api.http.problem import problem_response
from postroom.base.errors import PostroomError, TooLarge, Unavailable
from postroom.resilience.time_limit import TimeLimit

DEFAULT_BYTES_MAX: Final = 1_048_576
STALL_S: Final = 15.0
TOTAL_S: Final = 30.0
HELD_BYTES_MAX: Final = 256 * 1_048_576
"""Of all bodies together that come in pieces. Whole ones of up to 64 KiB are not held back by it."""
ANNOUNCED_DIGITS_MAX: Final = 18
RETRY_AFTER_S: Final = 5
TOO_SLOW: Final = f"the body did not arrive within {TOTAL_S:g} s, or nothing of it for {STALL_S:g} s"


class PackedBody(PostroomError):
    code = "packed_body"
    status = 415
    title = "The body must not be compressed"


class BodyLimit:
    """Refuses an announced size at once and counts what streams in.

    A sender is cut off that sends nothing for `STALL_S` or is not done after `TOTAL_S`. While bodies that are
    being received hold `HELD_BYTES_MAX`, further ones that come in pieces get 503.

    A compressed body is refused unread: a kilobyte of it may unpack to a gigabyte.

    `limits`: bytes by exact path, for those that differ from `DEFAULT_BYTES_MAX`.
    What streams in too large raises in whoever reads it, inside the exception handlers.
    """

    def __init__(self, app: ASGIApp, *, limits: Mapping[str, int]) -> None:
        self._app = app
        self._limits = limits
        self._stall = TimeLimit(STALL_S)
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bytes_max = self._limits.get(scope["path"], DEFAULT_BYTES_MAX)
        text = f"a request to this path may have {bytes_max} bytes at most"
        error = _refusal(scope["headers"], bytes_max, text)
        if error is not None:
            request_id = scope.get("state", {}).get("request_id")
            response = problem_response(error, request_id=request_id)
            response.headers["Connection"] = "close"  # what the sender still sends must not become a request
            await response(scope, receive, send)
            return
        taken = held = 0
        complete = False
        ends_s = 0.0

        async def receive_within() -> Message:
            nonlocal taken, held, complete, ends_s
            if complete:  # from here on it only waits for the client to leave
                return await receive()
            try:
                if not ends_s:
                    ends_s = time.monotonic() + TOTAL_S
                    with self._stall:
                        message = await receive()
                else:
                    async with asyncio.timeout(min(STALL_S, ends_s - time.monotonic())):
                        message = await receive()
            except TimeoutError:
                raise HTTPException(408, TOO_SLOW) from None
            if message["type"] == "http.request":
                length = len(message.get("body", b""))
                taken += length
                complete = not message.get("more_body", False)
                if taken > bytes_max:
                    raise HTTPException(413, text)
                if held or not complete:
                    held += length
                    self._held += length
                    if self._held > HELD_BYTES_MAX:
                        raise Unavailable("too much is being received at once", retry_after_s=RETRY_AFTER_S)
            return message

        try:
            await self._app(scope, receive_within, send)
        finally:
            self._held -= held


def _refusal(headers: Iterable[tuple[bytes, bytes]], bytes_max: int, text: str) -> PostroomError | None:
    """What the headers alone already tell. The first of a name counts."""
    encoding = announced = None
    for name, value in headers:
        if name == b"content-length" and announced is None:
            announced = value
        elif name == b"content-encoding" and encoding is None:
            encoding = value
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        return PackedBody("send it without Content-Encoding", field="Content-Encoding")
    if announced is None or not announced.isdigit():
        return None
    if len(announced) > ANNOUNCED_DIGITS_MAX or int(announced) > bytes_max:
        return TooLarge(text, field="body")
    return None
