"""A limit on what a request may send, and on how long it may take to send it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from postroom.api.http.problem import problem_response
from postroom.base.errors import PostroomError, TooLarge
from postroom.resilience.time_limit import TimeLimit

DEFAULT_BYTES_MAX: Final = 1_048_576
STALL_S: Final = 15.0
ANNOUNCED_DIGITS_MAX: Final = 18


class PackedBody(PostroomError):
    code = "packed_body"
    status = 415
    title = "The body must not be compressed"


class BodyLimit:
    """Refuses an announced size at once and counts what streams in; a sender that stalls is cut off.

    A compressed body is refused unread: a kilobyte of it may unpack to a gigabyte.

    `limits`: bytes by exact path, for those that differ from `DEFAULT_BYTES_MAX`.
    What streams in too large raises in whoever reads it, inside the exception handlers.
    """

    def __init__(self, app: ASGIApp, *, limits: Mapping[str, int]) -> None:
        self._app = app
        self._limits = limits
        self._stall = TimeLimit(STALL_S)

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
        taken = 0
        complete = False

        async def receive_within() -> Message:
            nonlocal taken, complete
            if complete:  # from here on it only waits for the client to leave
                return await receive()
            try:
                with self._stall:
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"nothing arrived for {STALL_S:g} s") from None
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if taken > bytes_max:
                    raise HTTPException(413, text)
            return message

        await self._app(scope, receive_within, send)


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
