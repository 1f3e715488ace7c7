"""Around every request: its id, its log line, its metrics, security headers, the last resort."""

from __future__ import annotations

import re
import time
from typing import Any, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.http_metrics import HttpMetrics
from app.api.problem import problem_response
from app.base.errors import PostroomError
from app.base.ids import request_id as new_request_id
from app.base.log import get_logger

log = get_logger(__name__)

QUIET: Final = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_SECURITY_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
)


class RequestScope:
    """Outermost: whatever happens inside, there is an answer, a log line and a count."""

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, request_id)
            await send(message)

        started_s = time.perf_counter()
        self._metrics.started()
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
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
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else new_request_id()


def _add_headers(message: Message, request_id: str) -> None:
    headers = MutableHeaders(scope=message)
    headers["X-Request-Id"] = request_id
    for name, value in _SECURITY_HEADERS:
        headers.setdefault(name, value)


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
    )
