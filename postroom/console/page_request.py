"""One request of the console: who asks, what they may, and the page they get."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote, unquote, urlencode
from uuid import UUID

import asyncpg
from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from postroom.admin.audit import Actor
from postroom.admin.reach import Check
from postroom.admin.scopes import Scope
from postroom.base.db import DATABASE_AWAY, DATABASE_BUSY
from postroom.base.errors import InvalidInput, NotAllowed, PostroomError, Unavailable
from postroom.base.log import get_logger
from postroom.console.access.security import Form, check_origin, field, protect, read_form
from postroom.console.access.sessions import Session, fetch_session
from postroom.console.context import Console
from postroom.console.view.parameters import path_id
from postroom.console.view.templates import render

log = get_logger(__name__)

NOTICE_COOKIE: Final = "postroom_notice"
THEME_COOKIE: Final = "postroom_theme"
NOTICE_LENGTH_MAX: Final = 300

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request of somebody who is signed in."""

    console: Console
    templates: Environment
    http: Request
    session: Session

    @property
    def cursor(self) -> str | None:
        """Where the page that is asked for starts; what reads it says whether a page gave it."""
        return self.http.query_params.get("cursor")

    @property
    def actor(self) -> Actor:
        """For the audit row of what they do."""
        session = self.session
        known = actor_of(self.http, session.actor, session.token_id)
        return replace(known, scopes=session.scopes, reach=session.reach)

    def may(self, scope: Scope) -> bool:
        return self.session.may(scope)

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page with what every page shows; the notice of the last action is shown once."""
        response = HTMLResponse(
            render(self.templates, template, {**common_values(self.http), "session": self.session, **values}),
            status_code=status,
        )
        if NOTICE_COOKIE in self.http.cookies:
            response.delete_cookie(NOTICE_COOKIE, path="/console")
        return response

    def back(self, place: str, notice: str = "") -> Response:
        """After a change: to the page that shows it, so that reloading does not repeat the change."""
        response = RedirectResponse(place, status_code=303)
        if notice:
            text = quote(notice[:NOTICE_LENGTH_MAX])
            response.set_cookie(
                NOTICE_COOKIE, text, max_age=60, path="/console", httponly=True, samesite="strict"
            )
        return response


Keeps: TypeAlias = Check | Literal["page"] | None
"""How a page keeps to the reach of who is limited to some tenants or channels: what its path names is
checked, or the page hands the reach on itself. None: it does not, and refuses them."""
Page = Callable[[PageRequest], Awaitable[Response]]
Action = Callable[[PageRequest, Form], Awaitable[Response]]


class PageFactory:
    """Makes endpoints of pages and actions: signed in, allowed, unforged, and with a page for every error."""

    def __init__(self, console: Console, templates: Environment) -> None:
        self.console = console
        self.templates = templates

    def page(self, page: Page, *, scope: Scope = Scope.ADMIN_READ, keeps: Keeps = None) -> Endpoint:
        """For somebody with `scope`; whoever is not signed in is sent to sign in and comes back."""

        async def endpoint(request: Request) -> Response:
            session = await self.session(request)
            if session is None:
                place = request.url.path + ("?" + request.url.query if request.url.query else "")
                return RedirectResponse("/console/sign-in?" + urlencode({"next": place}), status_code=303)
            request.state.session = session
            await self._require(request, session, scope, keeps)
            return await page(PageRequest(self.console, self.templates, request, session))

        return self.guarded(endpoint)

    def action(self, action: Action, *, scope: Scope, keeps: Keeps = None) -> Endpoint:
        """For a form of somebody with `scope`, sent from a page of this very session."""

        async def endpoint(request: Request) -> Response:
            check_origin(request)
            session = await self.session(request)
            if session is None:
                return RedirectResponse("/console/sign-in", status_code=303)
            request.state.session = session
            form = await read_form(request)
            if not hmac.compare_digest(field(form, "csrf").encode(), session.csrf_token.encode()):
                raise NotAllowed("this form is too old, or not from this session: reload the page")
            await self._require(request, session, scope, keeps)
            return await action(PageRequest(self.console, self.templates, request, session), form)

        return self.guarded(endpoint)

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """Whatever goes wrong becomes a page; every answer gets the console's headers."""

        async def guard(request: Request) -> Response:
            try:
                response = await endpoint(request)
            except PostroomError as error:
                response = self.error_page(request, error)
            except asyncpg.DataError:
                response = self.error_page(request, InvalidInput("a value holds what PostgreSQL cannot keep"))
            except (*DATABASE_AWAY, *DATABASE_BUSY) as error:
                log.warning("console.database_away", error=type(error).__name__)
                response = self.error_page(request, Unavailable("the database cannot be asked right now"))
            if "content-security-policy" in response.headers:
                return response
            return protect(response)

        return guard

    async def _require(self, request: Request, session: Session, scope: Scope, keeps: Keeps) -> None:
        """Errors: `NotAllowed`; `NotFound` where what the path names is beyond the session's reach."""
        if not session.may(scope):
            raise NotAllowed(f"{session.actor} lacks the scope {scope}")
        if not session.reach.limited or keeps == "page":
            return
        if keeps is None:
            raise NotAllowed(f"{session.actor} is limited to some tenants or channels; this is not")
        async with self.console.snapshot() as conn:
            await keeps(conn, path_id(request), session.reach)

    async def session(self, request: Request) -> Session | None:
        secret = request.cookies.get(cookie_name(self.console, request))
        if not secret:
            return None
        async with self.console.transaction() as conn:
            return await fetch_session(conn, secret, self.console.keyring)

    def error_page(self, request: Request, error: PostroomError) -> Response:
        session = getattr(request.state, "session", None)
        values = {**common_values(request), "session": session, "active": "", "error": error}
        return HTMLResponse(render(self.templates, "error.html", values), status_code=error.status)


def actor_of(request: Request, name: str, token_id: UUID | None = None) -> Actor:
    """Who signs in: what they may do is their session's matter."""
    return Actor(name, request_id=getattr(request.state, "request_id", None), token_id=token_id)


def secure(console: Console, request: Request) -> bool:
    """Whether the cookie goes over TLS only: always, but for plain HTTP in development."""
    return console.settings.prod or request.url.scheme == "https"


def cookie_name(console: Console, request: Request) -> str:
    name = "__Host-postroom" if secure(console, request) else "postroom_session"
    ledger = console.settings.ledger
    return f"{name}_{ledger}" if ledger else name


def common_values(request: Request) -> dict[str, Any]:
    theme = request.cookies.get(THEME_COOKIE)
    place = request.url.path + ("?" + request.url.query if request.url.query else "")
    return {
        "theme": theme if theme in ("light", "dark") else "",
        "notice": unquote(request.cookies.get(NOTICE_COOKIE, ""))[:NOTICE_LENGTH_MAX],
        "path": request.url.path,
        "place": place if place.startswith("/console") else "/console",
        "ledger": getattr(request.state, "ledger", ""),
        "ledgers": getattr(request.state, "ledgers", ()),
    }
