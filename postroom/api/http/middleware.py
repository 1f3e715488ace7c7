"""Around every request: its id, its log line, its metrics, security headers, the last resort."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from postroom.api.http.http_metrics import HttpMetrics
from postroom.api.http.problem import problem_response
from postroom.base.errors import PostroomError
from postroom.base.ids import request_id as new_request_id
from postroom.base.log import get_logger

log = get_logger(__name__)

Header: TypeAlias = tuple[bytes, bytes]

QUIET: Final = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})
LOG_FIELDS: Final = "log_fields"
"""Where in `scope["state"]` an endpoint leaves a dict of what its request's log line shall say besides."""
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_ONLY_BY_TLS: Final = (b"strict-transport-security", b"max-age=31536000")
"""A year: who came by https comes by nothing else. Said where TLS is, which is the proxy's to say."""


class RequestScope:
    """Outermost: whatever happens inside, there is an answer, a log line and a count.

    Every request passes here, so it works on the raw headers: Starlette's copies take as long as a query.
    """

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        by_tls = (_ONLY_BY_TLS,) if scope.get("scheme") == "https" else ()
        given_by_us = ((b"x-request-id", request_id.encode()), *_SECURITY_HEADERS, *by_tls)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _complete(message.get("headers", ()), given_by_us)
            await send(message)

        started_s = time.perf_counter()
        self._metrics.started()
        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            try:
                await self._app(scope, receive, send_with_headers)
            except ClientDisconnect:
                log.info("http.client_gone", path=scope["path"])
            except Exception:
                log.exception("http.failed", method=scope["method"], path=scope["path"])
                if status:
                    raise
                error = PostroomError("the log names the cause under this request id")
                await problem_response(error, request_id=request_id)(scope, receive, send_with_headers)
            _log_access(scope, status, time.perf_counter() - started_s)
        finally:
            structlog.contextvars.reset_contextvars(**bound)
            self._metrics.ended(
                method=scope["method"],
                route=route_template(scope),
                status=status or 499,
                duration_s=time.perf_counter() - started_s,
            )


def route_template(scope: Scope) -> str:
    """The path with names instead of values; `unmatched` where no route took the request."""
    route: Any = scope.get("route")
    if route is None:
        return "unmatched"
    return str(getattr(route, "path", "unmatched"))


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            return given if _REQUEST_ID.fullmatch(given) else new_request_id()
    return new_request_id()


def _complete(headers: Iterable[Header], ours: Sequence[Header]) -> list[Header]:
    """The answer's headers and ours; of the security headers, what the endpoint chose itself stands."""
    completed = list(headers)
    present = {name.lower() for name, _ in completed}
    completed.extend(header for header in ours if header[0] not in present)
    return completed


def _log_access(scope: Scope, status: int, duration_s: float) -> None:
    quiet = scope["path"] in QUIET and status < 500
    log.log(
        10 if quiet else 20,
        "http.request",
        method=scope["method"],
        path=scope["path"],
        route=route_template(scope),
        status=status,
        duration_ms=round(duration_s * 1000, 1),
        **scope["state"].get(LOG_FIELDS, {}),
    )
