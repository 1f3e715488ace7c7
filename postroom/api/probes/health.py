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
from postroom.health.readiness import CheckStatus, Readiness, ReadinessReport

VERSION: Final = version("postroom")
_NO_STORE: Final = {"Cache-Control": "no-store"}

_encode = msgspec.json.Encoder().encode


async def livez(_request: Request) -> Response:
    """Touches nothing: it answers, so the process lives."""
    return as_json({"status": "ok"})


async def healthz(request: Request) -> Response:
    """Liveness with version and uptime."""
    uptime_s = round(context_of(request).uptime_s(), 1)
    return as_json({"status": "ok", "version": VERSION, "uptime_s": uptime_s})


async def readyz(request: Request) -> Response:
    """200 or 503. `?exclude=jobs` leaves checks out; `/readyz/{check}` runs one."""
    context = context_of(request)
    report = await report_of(request, context.readiness)
    detailed = not context.settings.prod or await may(request, Scope.ADMIN_READ)
    return as_json(told_of(report, detailed=detailed), 200 if report.ready else 503)


async def report_of(request: Request, readiness: Readiness) -> ReadinessReport:
    """Of the checks that are asked for."""
    names = ",".join(request.query_params.getlist("exclude"))
    excluded = frozenset(name.strip() for name in names.split(",") if name.strip())
    return await readiness.report(exclude=excluded, only=request.path_params.get("check"))


def told_of(report: ReadinessReport, *, detailed: bool) -> dict[str, object]:
    checks = {
        name: {"status": result.status, "detail": result.detail} if detailed else {"status": result.status}
        for name, result in report.checks.items()
    }
    return {"status": CheckStatus.OK if report.ready else CheckStatus.FAILED, "checks": checks}


def health_routes() -> list[Route]:
    return [
        Route("/livez", livez),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/readyz/{check}", readyz),
    ]


def as_json(value: object, status: int = 200) -> Response:
    return Response(_encode(value), status_code=status, media_type="application/json", headers=_NO_STORE)
