"""The console's routes, and the parts they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroom.admin.reach import check_endpoint, check_message, check_run
from postroom.admin.scopes import Scope
from postroom.admin.token_verifier import TokenVerifier
from postroom.base.clock import Clock
from postroom.base.db import Pool
from postroom.base.errors import NotFound
from postroom.base.rate_limit import FailureLimit
from postroom.base.settings import Settings
from postroom.console.access.oidc import OidcClient
from postroom.console.access.oidc_sign_in import OidcSignIn
from postroom.console.access.sign_in import SignIn, change_theme, sign_out, sign_out_everywhere
from postroom.console.context import Console
from postroom.console.page_request import Action, Keeps, Page, PageFactory
from postroom.console.pages import audit as audit_page
from postroom.console.pages import (
    channels,
    circuits,
    dead_letters,
    jobs,
    limits,
    mail_templates,
    message,
    replays,
    tokens,
    webhooks,
)
from postroom.console.pages import settings as settings_page
from postroom.console.pages.customers import customers
from postroom.console.pages.exports import exports
from postroom.console.pages.live import Live
from postroom.console.pages.messages import messages
from postroom.console.pages.overview import overview
from postroom.console.pages.runbooks import runbook
from postroom.console.pages.stripe_events import reprocess_event, stripe
from postroom.console.pages.tasks import tasks
from postroom.console.view.rates import RateMeter
from postroom.console.view.templates import STATIC, make_environment, static_files
from postroom.encryption.keyring import Keyring
from postroom.health.readiness import Readiness
from postroom.metrics.gauges import GaugeReader
from postroom.outbox.model import Adapter, Channel

FAILURES_MAX: Final = 10


class ConsolePage(NamedTuple):
    """A page, what it asks for, and how it keeps to the reach of whoever does not reach everything."""

    path: str
    page: Page
    keeps: Keeps = None
    scope: Scope = Scope.ADMIN_READ


class ConsoleAction(NamedTuple):
    """The same of a form."""

    path: str
    scope: Scope
    action: Action
    keeps: Keeps = None


PAGES: Final = (
    ConsolePage("", overview, "page"),
    ConsolePage("/messages", messages, "page"),
    ConsolePage("/messages/{id}", message.message, check_message),
    ConsolePage("/messages/{id}/preview", message.preview, check_message, Scope.PAYLOAD_READ),
    ConsolePage("/dead-letters", dead_letters.dead_letters, "page"),
    ConsolePage("/dead-letters/replay", dead_letters.dry_run, "page"),
    ConsolePage("/replays/{id}", replays.replay, check_run),
    ConsolePage("/stripe", stripe),
    ConsolePage("/customers", customers, "page"),
    ConsolePage("/webhooks", webhooks.webhooks, "page"),
    ConsolePage("/webhooks/{id}", webhooks.webhook, check_endpoint),
    ConsolePage("/exports", exports),
    ConsolePage("/tasks", tasks),
    ConsolePage("/jobs", jobs.jobs),
    ConsolePage("/jobs/{name}", jobs.job),
    ConsolePage("/circuits", circuits.circuits),
    ConsolePage("/channels", channels.channels),
    ConsolePage("/templates", mail_templates.mail_templates),
    ConsolePage("/templates/preview", mail_templates.preview),
    ConsolePage("/settings", settings_page.settings),
    ConsolePage("/tokens", tokens.tokens, "page"),
    ConsolePage("/audit", audit_page.trail),
    ConsolePage("/runbooks/{name}", runbook, "page"),
)
ACTIONS: Final = (
    ConsoleAction("/sign-out", Scope.ADMIN_READ, sign_out, "page"),
    ConsoleAction("/sign-out-everywhere", Scope.ADMIN_READ, sign_out_everywhere, "page"),
    ConsoleAction("/messages/{id}/reveal", Scope.PAYLOAD_READ, message.reveal, check_message),
    ConsoleAction("/messages/{id}/replay", Scope.OUTBOX_REPLAY, message.replay, check_message),
    ConsoleAction("/messages/{id}/resend", Scope.OUTBOX_REPLAY, message.resend, check_message),
    ConsoleAction("/messages/{id}/looked-up", Scope.OUTBOX_REPLAY, message.looked_up, check_message),
    ConsoleAction("/messages/{id}/deliver-now", Scope.OUTBOX_REPLAY, message.deliver_now, check_message),
    ConsoleAction("/messages/{id}/cancel", Scope.OUTBOX_CANCEL, message.cancel, check_message),
    ConsoleAction("/dead-letters/start", Scope.OUTBOX_REPLAY, dead_letters.start, "page"),
    ConsoleAction("/replays/{id}/pause", Scope.OUTBOX_REPLAY, replays.pause, check_run),
    ConsoleAction("/replays/{id}/resume", Scope.OUTBOX_REPLAY, replays.resume, check_run),
    ConsoleAction("/replays/{id}/undo", Scope.OUTBOX_REPLAY, replays.undo, check_run),
    ConsoleAction("/webhooks/create", Scope.ENDPOINTS_WRITE, webhooks.create, "page"),
    ConsoleAction("/webhooks/url-secret", Scope.ENDPOINTS_WRITE, webhooks.url_secret),
    ConsoleAction("/webhooks/{id}/rotate", Scope.ENDPOINTS_WRITE, webhooks.rotate, check_endpoint),
    ConsoleAction("/webhooks/{id}/park", Scope.ENDPOINTS_WRITE, webhooks.park, check_endpoint),
    ConsoleAction("/webhooks/{id}/resume", Scope.ENDPOINTS_WRITE, webhooks.resume, check_endpoint),
    ConsoleAction("/webhooks/{id}/discard", Scope.ENDPOINTS_WRITE, webhooks.discard, check_endpoint),
    ConsoleAction("/webhooks/{id}/recover", Scope.OUTBOX_REPLAY, webhooks.recover, check_endpoint),
    ConsoleAction("/webhooks/{id}/ping", Scope.ENDPOINTS_WRITE, webhooks.ping, check_endpoint),
    ConsoleAction("/stripe/{id}/reprocess", Scope.OUTBOX_REPLAY, reprocess_event),
    ConsoleAction("/jobs/{name}/run", Scope.JOBS_RUN, jobs.run_now),
    ConsoleAction("/jobs/{name}/pause", Scope.JOBS_RUN, jobs.pause),
    ConsoleAction("/jobs/{name}/unpause", Scope.JOBS_RUN, jobs.unpause),
    ConsoleAction("/circuits/change", Scope.CIRCUITS_WRITE, circuits.change),
    ConsoleAction("/channels/{channel}/pause", Scope.CHANNELS_WRITE, channels.pause),
    ConsoleAction("/channels/{channel}/resume", Scope.CHANNELS_WRITE, channels.resume),
    ConsoleAction("/templates/send-test", Scope.EVENTS_WRITE, mail_templates.send_test),
    ConsoleAction("/limits/set", Scope.CHANNELS_WRITE, limits.set_limit),
    ConsoleAction("/limits/remove", Scope.CHANNELS_WRITE, limits.remove_limit),
    ConsoleAction("/tokens/create", Scope.TOKENS_WRITE, tokens.create, "page"),
    ConsoleAction("/tokens/{id}/revoke", Scope.TOKENS_WRITE, tokens.revoke, "page"),
    ConsoleAction("/sessions/{id}/end", Scope.TOKENS_WRITE, tokens.end_session),
)


def console_routes(
    *,
    settings: Settings,
    clock: Clock,
    pool: Pool,
    keyring: Keyring,
    adapters: Mapping[Channel, Adapter],
    gauges: GaugeReader,
    readiness: Readiness,
    verifier: TokenVerifier,
) -> list[BaseRoute]:
    """Everything under /console. `gauges`, `readiness` and `verifier` are shared with the API."""
    console = Console(
        settings=settings,
        clock=clock,
        pool=pool,
        keyring=keyring,
        adapters=adapters,
        gauges=gauges,
        readiness=readiness,
        verifier=verifier,
        failed_sign_ins=FailureLimit(clock=clock, count_max=FAILURES_MAX),
        rates=RateMeter(clock=clock),
    )
    files = static_files()
    page_factory = PageFactory(console, make_environment(files))
    pages = [
        Route(
            f"/console{each.path}",
            page_factory.page(each.page, scope=each.scope, keeps=each.keeps),
            methods=["GET"],
        )
        for each in PAGES
    ]
    actions = [
        Route(
            f"/console{each.path}",
            page_factory.action(each.action, scope=each.scope, keeps=each.keeps),
            methods=["POST"],
        )
        for each in ACTIONS
    ]
    return [
        # Before the pages: `create` and `change` are no ids.
        *actions,
        *_open_routes(page_factory, files),
        Route("/console/live", page_factory.page(Live().stream, keeps="page"), methods=["GET"]),
        *pages,
        Route("/console/{rest:path}", page_factory.guarded(_nothing)),
    ]


def _open_routes(page_factory: PageFactory, files: dict[str, bytes]) -> list[BaseRoute]:
    """What needs nobody to be signed in."""
    sign_in = SignIn(page_factory)

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files:
            raise NotFound("there is no such file")
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(files[name], media_type=STATIC[name], headers=headers)

    oidc: list[BaseRoute] = []
    if page_factory.console.settings.oidc.issuer:
        client = OidcClient(page_factory.console.settings.oidc, clock=page_factory.console.clock)
        through = OidcSignIn(page_factory, client, sign_in)
        oidc = [
            Route("/console/oidc/start", page_factory.guarded(through.start), methods=["GET"]),
            Route("/console/oidc/return", page_factory.guarded(through.finish), methods=["GET"]),
        ]
    return [
        *oidc,
        Route("/console/static/{version}/{name}", page_factory.guarded(static), methods=["GET"]),
        Route("/console/sign-in", page_factory.guarded(sign_in.form), methods=["GET"]),
        Route("/console/sign-in", page_factory.guarded(sign_in.with_token), methods=["POST"]),
        Route("/console/enter", page_factory.guarded(sign_in.with_link), methods=["GET"]),
        Route("/console/theme", page_factory.guarded(change_theme), methods=["POST"]),
    ]


async def _nothing(request: Request) -> Response:
    raise NotFound(f"there is nothing at {request.url.path[:200]}")
