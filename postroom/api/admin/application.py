"""The admin API: FastAPI with every admin resource."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI

from postroom.api.admin import (
    audit,
    channels,
    circuits,
    customers,
    dead_letters,
    endpoints,
    erasures,
    exports,
    jobs,
    limits,
    outbox,
    replay,
    sessions,
    suppressions,
    tokens,
    unsubscribes,
    url_secrets,
)
from postroom.api.http.error_handlers import error_handlers
from postroom.api.probes.health import VERSION

# `dead_letters` and `replay` come before `outbox`: its `{event_id}` would take their paths.
ROUTERS: Final = (
    dead_letters.router,
    replay.router,
    outbox.router,
    jobs.router,
    circuits.router,
    channels.router,
    limits.router,
    endpoints.router,
    url_secrets.router,
    tokens.router,
    sessions.router,
    suppressions.router,
    unsubscribes.router,
    erasures.router,
    exports.router,
    audit.router,
    customers.router,
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
