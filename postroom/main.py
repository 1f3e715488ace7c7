"""The ASGI application: hot routes on Starlette, everything else on the admin API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from postroom.admin.token_verifier import TokenVerifier
from postroom.api.admin.application import create_admin
from postroom.api.auth import Gate
from postroom.api.context import Context
from postroom.api.http.body_limit import BodyLimit
from postroom.api.http.error_handlers import error_handlers
from postroom.api.http.http_metrics import HttpMetrics
from postroom.api.http.middleware import RequestScope
from postroom.api.intake.batches import PATH as BATCHES_PATH
from postroom.api.intake.batches import publish_batch
from postroom.api.intake.email_events import EMAIL_EVENTS_ROUTE
from postroom.api.intake.event_intake import EventIntake
from postroom.api.intake.events import BODY_BYTES_MAX, publish_events
from postroom.api.intake.stripe_webhook import StripeWebhook
from postroom.api.intake.unsubscribe import UNSUBSCRIBE_ROUTE
from postroom.api.openapi import openapi
from postroom.api.probes.health import health_routes
from postroom.api.probes.metrics import metrics
from postroom.base.schema import read_schema
from postroom.base.settings import Settings
from postroom.channels.email.events.intake import EmailEvents
from postroom.console.routes import console_routes
from postroom.health.readiness import Readiness
from postroom.metrics.gauges import GaugeReader
from postroom.metrics.host import HostReader
from postroom.wiring import Services

STRIPE_PATH = "/v1/stripe/webhook"
EVENTS_PATH = "/v1/events"
ANONYMOUS_FORMS = ("/console/sign-in", "/console/theme")
FORM_BYTES_MAX = 16_384


def create_app(
    *,
    services: Services,
    more_routes: Sequence[BaseRoute] = (),
    worker: int | None = None,
    behind: HttpMetrics | None = None,
) -> Starlette:
    """The application over services that are open; whoever opened them closes them.

    `app.state.context.readiness.stop()` takes it out of rotation
    before it is shut down; what was handed in is stored before the lifespan ends.
    `worker`: see `HttpMetrics`. `behind`: those of an application that hands requests on to this one, and has
    done around each what `around_requests` does.
    """
    context = _context(services, behind or HttpMetrics(worker=worker))
    admin = create_admin()
    app = Starlette(
        routes=[
            Route(
                STRIPE_PATH,
                StripeWebhook(services.stripe_ingest, services.settings.stripe),
                methods=["POST"],
            ),
            Route(EVENTS_PATH, publish_events, methods=["POST"]),
            Route(BATCHES_PATH, publish_batch, methods=["POST"]),
            UNSUBSCRIBE_ROUTE,
            EMAIL_EVENTS_ROUTE,
            *health_routes(),
            Route("/metrics", metrics),
            Route("/", _front_page),
            Route("/openapi.json", openapi),
            *_console(context),
            *more_routes,
        ],
        middleware=[] if behind else around_requests(services.settings, context.http_metrics),
        exception_handlers=error_handlers(),
        lifespan=lifespan_of,
    )
    app.router.redirect_slashes = False
    app.router.default = admin  # unlike a mount at "", it leaves 405 to the routes above
    app.state.admin = admin
    gate = Gate(clock=services.clock)
    for part in (app, admin):
        part.state.context = context
        part.state.gate = gate
    return app


def around_requests(settings: Settings, http_metrics: HttpMetrics) -> list[Middleware]:
    """What is done around every request, the outermost first."""
    limits = {
        STRIPE_PATH: settings.stripe.body_bytes_max,
        EVENTS_PATH: BODY_BYTES_MAX,
        BATCHES_PATH: BODY_BYTES_MAX,
        **dict.fromkeys(ANONYMOUS_FORMS, FORM_BYTES_MAX),
    }
    return [Middleware(RequestScope, metrics=http_metrics), Middleware(BodyLimit, limits=limits)]


async def _front_page(request: Request) -> Response:
    """A browser is led to the console, a program is told what there is."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/console")
    return JSONResponse({"console": "/console", "openapi": "/openapi.json", "ready": "/readyz"})


def _console(context: Context) -> list[BaseRoute]:
    return console_routes(
        settings=context.settings,
        clock=context.clock,
        pool=context.pool,
        keyring=context.keyring,
        adapters=context.adapters,
        gauges=context.gauges,
        readiness=context.readiness,
        verifier=context.verifier,
    )


def _context(services: Services, http_metrics: HttpMetrics) -> Context:
    pool, clock = services.pool, services.clock
    return Context(
        settings=services.settings,
        clock=clock,
        pool=pool,
        adapters=services.adapters,
        readiness=Readiness(pool=pool, clock=clock, schema=read_schema()),
        gauges=GaugeReader(
            pool=pool, clock=clock, standbys_may_lag=services.settings.database_standbys_may_lag
        ),
        host=HostReader(settings=services.settings, clock=clock),
        verifier=TokenVerifier(pool=pool, clock=clock, keyring=services.keyring),
        email_events=EmailEvents(settings=services.settings.email, clock=clock),
        intake=EventIntake(pool=pool, keyring=services.keyring),
        keyring=services.keyring,
        started_s=clock.monotonic(),
        http_metrics=http_metrics,
    )


@asynccontextmanager
async def lifespan_of(app: Starlette) -> AsyncIterator[None]:
    """Until it ends, and what was handed in is stored."""
    context: Context = app.state.context
    try:
        yield
    finally:
        context.readiness.stop()
        await context.intake.close()
