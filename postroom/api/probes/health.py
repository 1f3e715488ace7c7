"""GET /livez, /healthz, /readyz: probes for machines, detail for operators."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from postroom.admin.tokens import Scope
from postroom.api.auth import may
from postroom.api.context import context_of
from postroom.health.readiness import CheckStatus

VERSION: Final = version("postroom")
_NO_STORE: Final = {"Cache-Control": "no-store"}

_encode = msgspec.json.Encoder().encode


async def livez(_request: Request) -> Response:
    """Touches nothing: it answers, so the process lives."""
    return _json({"status": "ok"})


async def healthz(request: Request) -> Response:
    """Liveness with version and uptime."""
    uptime_s = round(context_of(request).uptime_s(), 1)
    return _json({"status": "ok", "version": VERSION, "uptime_s": uptime_s})


async def readyz(request: Request) -> Response:
    """200 or 503. `?exclude=jobs` leaves checks out; `/readyz/{check}` runs one."""
    context = context_of(request)
    names = ",".join(request.query_params.getlist("exclude"))
    excluded = frozenset(name.strip() for name in names.split(",") if name.strip())
    report = await context.readiness.report(exclude=excluded, only=request.path_params.get("check"))
    detailed = not context.settings.prod or await may(request, Scope.ADMIN_READ)
    checks = {
        name: {"status": result.status, "detail": result.detail} if detailed else {"status": result.status}
        for name, result in report.checks.items()
    }
    status = CheckStatus.OK if report.ready else CheckStatus.FAILED
    return _json({"status": status, "checks": checks}, 200 if report.ready else 503)


def health_routes() -> list[Route]:
    return [
        Route("/livez", livez),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/readyz/{check}", readyz),
    ]


def _json(value: object, status: int = 200) -> Response:
    return Response(_encode(value), status_code=status, media_type="application/json", headers=_NO_STORE)
