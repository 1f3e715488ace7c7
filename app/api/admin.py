"""The admin API: FastAPI with every admin resource, and its OpenAPI document."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.api import (
    audit,
    circuits,
    dead_letters,
    endpoints,
    erasures,
    jobs,
    outbox,
    replay,
    suppressions,
    tokens,
)
from app.api.auth import admit
from app.api.context import context_of
from app.api.error_handlers import error_handlers
from app.api.health import VERSION
from app.ops.tokens import Scope

# `dead_letters` and `replay` come before `outbox`: its `{event_id}` would take their paths.
ROUTERS: Final = (
    dead_letters.router,
    replay.router,
    outbox.router,
    jobs.router,
    circuits.router,
    endpoints.router,
    tokens.router,
    suppressions.router,
    erasures.router,
    audit.router,
)


def create_admin() -> FastAPI:
    """The admin application; `state.context` and `state.gate` are set by whoever mounts it."""
    admin = FastAPI(
        title="Postroom",
        version=VERSION,
        summary="What must happen because something else happened.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        exception_handlers=error_handlers(),
        redirect_slashes=False,
    )
    for router in ROUTERS:
        admin.include_router(router)
    return admin


async def openapi(request: Request) -> Response:
    """The OpenAPI document; outside of dev it needs `admin:read`."""
    if context_of(request).settings.prod:
        await admit(request, Scope.ADMIN_READ)
    admin: FastAPI = request.app.state.admin
    return JSONResponse(admin.openapi())
