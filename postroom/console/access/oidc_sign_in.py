"""The two pages around the provider: leaving for it, and coming back."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from postroom.admin.audit import record
from postroom.base.errors import NotAuthenticated
from postroom.console.access.oidc import Handshake, OidcClient
from postroom.console.access.sessions import open_session
from postroom.console.access.sign_in import SignIn, safe_place, set_session_cookie
from postroom.console.page_request import PageFactory, actor_of, common_values, secure
from postroom.console.view.templates import render

COOKIE: Final = "postroom_oidc"
HANDSHAKE_S: Final = 600
ANSWER_LENGTH_MAX: Final = 4_000


class OidcSignIn:
    """Sign in with what a provider says."""

    def __init__(self, page_factory: PageFactory, client: OidcClient, sign_in: SignIn) -> None:
        self._page_factory = page_factory
        self._client = client
        self._console = page_factory.console
        sign_in.oidc = True

    async def start(self, request: Request) -> Response:
        place = safe_place(request.query_params.get("next", ""))
        address, made = await self._client.leave(redirect_url=self._redirect_url(request), place=place)
        response = RedirectResponse(address, status_code=303)
        # Lax: the browser comes back from another site, and must bring this along.
        response.set_cookie(
            COOKIE, msgspec.json.encode(made).hex(), max_age=HANDSHAKE_S, path="/console/oidc",
            secure=secure(self._console, request), httponly=True, samesite="lax",
        )  # fmt: skip
        return response

    async def finish(self, request: Request) -> Response:
        """A page, not a redirect: on one that began at another site no strict cookie would be sent."""
        kept = _handshake(request)
        code, state = (request.query_params.get(name, "")[:ANSWER_LENGTH_MAX] for name in ("code", "state"))
        if not code:
            raise NotAuthenticated("the provider let nobody in")
        person = await self._client.arrive(
            code=code, state=state, kept=kept, redirect_url=self._redirect_url(request)
        )
        async with self._console.transaction() as conn:
            secret = await open_session(conn, actor=person.actor, scopes=person.scopes)
            await record(conn, actor_of(request, person.actor), "console.sign_in")
        values = {**common_values(request), "session": None, "next": safe_place(kept.place)}
        response = HTMLResponse(render(self._page_factory.templates, "signed_in.html", values))
        response.delete_cookie(COOKIE, path="/console/oidc")
        set_session_cookie(response, self._console, request, secret)
        return response

    def _redirect_url(self, request: Request) -> str:
        chosen = self._console.settings.oidc.redirect_url
        return chosen or f"{request.url.scheme}://{request.url.netloc}/console/oidc/return"


def _handshake(request: Request) -> Handshake:
    try:
        return msgspec.json.decode(bytes.fromhex(request.cookies.get(COOKIE, "")), type=Handshake)
    except (ValueError, msgspec.MsgspecError):
        raise NotAuthenticated("this sign-in is too old, or began in another browser: start again") from None
