"""uvicorn: a connection that keeps us waiting costs little memory, and that not for long.

uvicorn keeps an unfinished head without end and without a timer, counts connections only once a head is
complete, and waits for ever for a client that takes no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import takewhile
from typing import Any, Final, Literal, TypeAlias

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from postroom.overrides.uvicorn_protocol import JoinedHttpProtocol

HEAD_BYTES_MAX: Final = 65_536
HEADERS_MAX: Final = 100
"""Kept, the shortest headers take thirty times what was sent."""
PIPELINED_MAX: Final = 16
PATIENCE_S: Final = 10.0
TAKEN_BYTES_MIN: Final = 65_536
"""What a client takes of its answer within `PATIENCE_S`, or it is cut."""

Refusal: TypeAlias = Literal["header_size", "header_time", "answer_not_taken", "connections"]
REFUSALS: Final[tuple[Refusal, ...]] = ("header_size", "header_time", "answer_not_taken", "connections")


class Connections:
    """The connections of a server, and those of them that we wait for.

    Promise: no more than `connections_max` are open. When one more comes, an idle one, between requests,
    goes, else the one that has kept us waiting longest, so that slow ones do not shut out others; where none
    does, the new one gets 503.
    Whoever keeps us waiting for a head or takes no answer is cut after `patience_s`, twice that at most.
    """

    def __init__(
        self,
        *,
        connections_max: int,
        patience_s: float = PATIENCE_S,
        on_refused: Callable[[Refusal], None] = lambda _: None,
    ) -> None:
        self.connections_max = connections_max
        self.on_refused = on_refused
        self._patience_s = patience_s
        # In the order in which they began to keep us waiting: one timer serves all.
        self._awaited: dict[BoundedHttpProtocol, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def make_room(self) -> bool:
        """Whether one more may stay."""
        idle = (each for each in self._awaited if each.is_idle)
        longest = next(idle, None) or next(iter(self._awaited), None)
        if longest is None:
            return False
        self.forget(longest)
        self.on_refused("connections")
        longest.transport.abort()
        return True

    def wait_for(self, protocol: BoundedHttpProtocol) -> None:
        self._awaited.pop(protocol, None)
        self._awaited[protocol] = protocol.loop.time()
        if self._timer is None:
            self._timer = protocol.loop.call_later(self._patience_s / 8, self._tick, protocol.loop)

    def forget(self, protocol: BoundedHttpProtocol) -> None:
        self._awaited.pop(protocol, None)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        oldest = loop.time() - self._patience_s
        for protocol, _ in list(takewhile(lambda each: each[1] <= oldest, self._awaited.items())):
            self.forget(protocol)
            protocol.on_overdue()
        self._timer = loop.call_later(self._patience_s / 8, self._tick, loop) if self._awaited else None


class BoundedHttpProtocol(JoinedHttpProtocol):
    """A head has `HEAD_BYTES_MAX` and `PATIENCE_S`; then 431 or 408, and the connection is closed.

    Does not promise: a limit on bodies, which is `BodyLimit`'s.
    """

    def __init__(self, *arguments: Any, bounds: Connections, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._bounds = bounds
        # Of this request, received less twice its body: head, chunk sizes and trailers may not outgrow both
        # `HEAD_BYTES_MAX` and the body they carry.
        self._overhead = 0
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._bounds.connections_max and not self._bounds.make_room():
            self._refuse(503, "connections")
        else:
            self._bounds.wait_for(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._bounds.forget(self)
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether it had its answer, and has not begun another request."""
        return self.timeout_keep_alive_task is not None

    def data_received(self, data: bytes) -> None:
        if self.is_idle:
            self._bounds.wait_for(self)  # its patience begins with this head, not while it was idle
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > HEAD_BYTES_MAX or (self.headers and len(self.headers) > HEADERS_MAX):
            self._refuse(431, "header_size")

    def on_headers_complete(self) -> None:
        # A chunk that is longer than a head may be may hold a whole one.
        too_long = self._overhead > HEAD_BYTES_MAX and self._head_bytes() > HEAD_BYTES_MAX
        if too_long or len(self.headers) > HEADERS_MAX or len(self.pipeline) >= PIPELINED_MAX:
            self._refuse(431, "header_size")
            raise ValueError("refused")  # ends the parsing of what else came
        self._bounds.forget(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._overhead -= 2 * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._overhead = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._answering():
            self._expect()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._answering():
            self._bounds.forget(self)

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def on_overdue(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent and (not self._unsent or self._unsent - unsent >= TAKEN_BYTES_MIN):
            self._unsent = unsent
            self._bounds.wait_for(self)
        elif unsent or self.transport.is_closing():
            self._bounds.on_refused("answer_not_taken")
            self.transport.abort()
        elif self._overhead:
            self._refuse(408, "header_time")
        elif self.is_idle:
            self._bounds.wait_for(self)  # until uvicorn closes it, or somebody needs its place
        else:
            self.transport.close()  # it never said anything

    def _expect(self) -> None:
        self._unsent = 0
        self._bounds.wait_for(self)

    def _answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self, status: Literal[408, 431, 503], why: Refusal) -> None:
        if self.transport.is_closing():
            return
        self._bounds.on_refused(why)
        if not self._answering():  # else it would stand within the answer
            self.transport.write(_ANSWERS[status])
        self.transport.close()


def _answer(status: int, code: str, title: str, detail: str) -> bytes:
    """A problem document as the application's own, but without a request there is no id of one."""
    problem = {"type": f"/problems/{code}", "title": title, "status": status, "code": code, "detail": detail}
    body = msgspec.json.encode(problem)
    headers = (
        b"content-type: application/problem+json",
        b"content-length: %d" % len(body),
        b"cache-control: no-store",
        b"connection: close",
        *((b"retry-after: 5",) if status == 503 else ()),
    )
    return STATUS_LINE[status] + b"\r\n".join(headers) + b"\r\n\r\n" + body


_ANSWERS: Final = {
    408: _answer(
        408, "request_timeout", "Request Timeout", f"the headers did not arrive within {PATIENCE_S:g} s"
    ),
    431: _answer(
        431,
        "request_header_fields_too_large",
        "Request Header Fields Too Large",
        f"at most {HEAD_BYTES_MAX} bytes and {HEADERS_MAX} headers",
    ),
    503: _answer(503, "unavailable", "Service Unavailable", "all connections are in use"),
}
