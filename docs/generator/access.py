"""Who may what: every route of API and console with the scope it asks for, and every role with its scopes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from docs.generator.pages import table
from postroom.admin.scopes import ROLES, Scope
from postroom.api.admin.application import ROUTERS
from postroom.api.admin.callers import GuardedRoute
from postroom.console.page_request import Keeps
from postroom.console.routes import ACTIONS, PAGES

Limited = Literal["within", "checked", "refused"]
TOLD: Final[dict[Limited, str]] = {
    "within": "only theirs",
    "checked": "404 unless theirs",
    "refused": "403",
}


class Access(NamedTuple):
    """`scope`: None where nobody must say who they are. `limited`: what a limited token gets."""

    method: str
    path: str
    scope: Scope | None
    limited: Limited


BESIDE: Final = (
    Access("POST", "/v1/events", Scope.EVENTS_WRITE, "within"),
    Access("POST", "/v1/batches", Scope.EVENTS_WRITE, "within"),
    Access("GET", "/metrics", Scope.METRICS_READ, "refused"),
    Access("GET", "/openapi.json", Scope.ADMIN_READ, "within"),
    Access("GET", "/console/live", Scope.ADMIN_READ, "within"),
)
"""Routes that check who calls themselves."""
OPEN: Final = tuple(
    Access(method, path, None, "within")
    for method, path in (
        ("GET", "/"),
        ("GET", "/livez"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/readyz/{check}"),
        ("POST", "/v1/stripe/webhook"),
        ("POST", "/v1/email/events/{provider}"),
        ("GET", "/unsubscribe"),
        ("POST", "/unsubscribe"),
        ("GET", "/console/sign-in"),
        ("POST", "/console/sign-in"),
        ("GET", "/console/enter"),
        ("GET", "/console/oidc/start"),
        ("GET", "/console/oidc/return"),
        ("POST", "/console/theme"),
        ("GET", "/console/static/{version}/{name}"),
    )
)
"""Routes for whoever comes. Stripe's webhook asks for Stripe's signature, email events for their provider's,
`/unsubscribe` for our link."""


def matrix() -> list[Access]:
    """Every route of the application. A test holds it complete, and tries each."""
    return [*BESIDE, *_api(), *_console(), *OPEN]


def access_block() -> str:
    rows = (
        (f"`{each.method} {each.path}`", f"`{each.scope}`" if each.scope else "–", _limited(each))
        for each in matrix()
    )
    scopes = [
        (f"`{scope}`", *("yes" if scope in bundle else "" for bundle in ROLES.values())) for scope in Scope
    ]
    return "\n\n".join(
        (
            "## Roles",
            table(("scope", *ROLES), scopes),
            "## Routes",
            table(("route", "scope", "limited tokens"), rows),
        )
    )


def _limited(access: Access) -> str:
    return TOLD[access.limited] if access.scope else "–"


def _api() -> Iterator[Access]:
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, GuardedRoute):
                for method in sorted(route.methods or ()):
                    yield Access(method, route.path_format, route.scope, route.limited)


def _console() -> Iterator[Access]:
    for page in PAGES:
        yield Access("GET", f"/console{page.path}", page.scope, _keeps(page.keeps))
    for action in ACTIONS:
        yield Access("POST", f"/console{action.path}", action.scope, _keeps(action.keeps))


def _keeps(keeps: Keeps) -> Limited:
    if keeps is None:
        return "refused"
    return "within" if keeps == "page" else "checked"
