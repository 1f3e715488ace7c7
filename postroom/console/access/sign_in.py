"""Signing in with a token or, in development, with a link; signing out here or everywhere."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from postroom.admin.audit import record
from postroom.admin.sessions import LIFE_S
from postroom.admin.tokens import Scope
from postroom.base.errors import TooManyFailures
from postroom.base.log import get_logger
from postroom.console.access.security import Form, check_origin, field, read_form
from postroom.console.access.sessions import (
    close_session,
    close_sessions,
    link_name,
    open_session,
    take_link_code,
)
from postroom.console.context import Console
from postroom.console.page_request import (
    THEME_COOKIE,
    PageFactory,
    PageRequest,
    actor_of,
    common_values,
    cookie_name,
    secure,
)
from postroom.console.view.templates import render

log = get_logger(__name__)

THEME_S = 365 * 86_400
LINK_ACTOR = "console:link"
LOCKED = "`postroom token sign-in-link` on the server prints a link that gets you in."


class SignIn:
    """The pages for those who are not signed in yet."""

    def __init__(self, page_factory: PageFactory) -> None:
        self._page_factory = page_factory
        self._console = page_factory.console
        self.oidc = False

    async def form(self, request: Request) -> Response:
        return self._page(request, safe_place(request.query_params.get("next", "")))

    async def with_token(self, request: Request) -> Response:
        """Sign in with a token that may read. What it may do beyond, the session may too."""
        check_origin(request)
        form = await read_form(request)
        client = request.client.host if request.client else "unknown"
        text = field(form, "token")
        wait_s = self._console.failed_sign_ins.wait_s(client, text)
        if wait_s and not self._console.verifier.knows(text):
            raise TooManyFailures(f"{LOCKED} Or wait {wait_s} s.", retry_after_s=wait_s)
        token = await self._console.verifier.verify(text)
        place = safe_place(field(form, "next"))
        if token is None:
            self._console.failed_sign_ins.record(client, text)
            log.warning("console.refused", client=client)
            return self._page(request, place, "This token is unknown, expired or revoked.", status=401)
        if Scope.ADMIN_READ not in token.scopes:
            return self._page(request, place, f"The token lacks the scope {Scope.ADMIN_READ}.", status=403)
        async with self._console.transaction() as conn:
            secret = await open_session(
                conn, actor=token.actor, token_id=token.id, keyring=self._console.keyring
            )
            await record(conn, actor_of(request, token.actor, token.id), "console.sign_in")
        return self.signed_in(request, secret, place)

    async def with_link(self, request: Request) -> Response:
        """The link of `postroom token sign-in-link`, or in development of `postroom up`; it works once.

        Not limited by failures: it is the way in for whoever is locked out by those of others.
        """
        code = request.query_params.get("code", "")
        async with self._console.transaction() as conn:
            scopes = await take_link_code(conn, code, self._console.keyring)
            secret = await open_session(conn, actor=LINK_ACTOR, scopes=scopes, keyring=self._console.keyring)
            await record(conn, actor_of(request, LINK_ACTOR), "console.sign_in", link=link_name(code))
        return self.signed_in(request, secret, "/console")

    def signed_in(self, request: Request, secret: str, place: str) -> Response:
        response = RedirectResponse(place, status_code=303)
        set_session_cookie(response, self._console, request, secret)
        return response

    def _page(self, request: Request, place: str, fault: str = "", *, status: int = 200) -> Response:
        values = {**common_values(request), "session": None, "next": place, "fault": fault}
        values |= {"dev": not self._console.settings.prod, "oidc": self.oidc}
        return HTMLResponse(render(self._page_factory.templates, "sign_in.html", values), status_code=status)


async def sign_out(request: PageRequest, _form: Form) -> Response:
    name = cookie_name(request.console, request.http)
    async with request.console.transaction() as conn:
        await close_session(conn, request.http.cookies.get(name, ""), request.console.keyring)
    return _signed_out(request)


async def sign_out_everywhere(request: PageRequest, _form: Form) -> Response:
    """End every session of whoever asks."""
    async with request.console.transaction() as conn:
        await close_sessions(conn, request.session)
        await record(conn, request.actor, "console.sign_out_everywhere")
    return _signed_out(request)


async def change_theme(request: Request) -> Response:
    """Light, dark, or as the system has it; a matter of this browser only."""
    check_origin(request)
    form = await read_form(request)
    theme = field(form, "theme")
    response = RedirectResponse(safe_place(field(form, "next")), status_code=303)
    if theme in ("light", "dark"):
        response.set_cookie(
            THEME_COOKIE, theme, max_age=THEME_S, path="/console", httponly=True, samesite="lax"
        )
    else:
        response.delete_cookie(THEME_COOKIE, path="/console")
    return response


def safe_place(text: str) -> str:
    """A path of the console; anything else would send people who signed in to where somebody wants them."""
    inside = text == "/console" or text.startswith(("/console/", "/console?"))
    if not inside or text.startswith("/console/sign") or not text.isprintable() or "\\" in text:
        return "/console"
    return text


def set_session_cookie(response: Response, console: Console, request: Request, secret: str) -> None:
    """Not readable by scripts, never sent on the way from another site."""
    response.set_cookie(
        cookie_name(console, request),
        secret,
        max_age=int(LIFE_S),
        path="/",
        secure=secure(console, request),
        httponly=True,
        samesite="strict",
    )


def _signed_out(request: PageRequest) -> Response:
    response = RedirectResponse("/console/sign-in", status_code=303)
    name = cookie_name(request.console, request.http)
    response.delete_cookie(name, path="/", secure=secure(request.console, request.http), httponly=True)
    return response
