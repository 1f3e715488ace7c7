"""The two pages around the provider: leaving for it, and coming back."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from postroom.admin.audit import record
from postroom.base.errors import NotAuthenticated, TooManyFailures
from postroom.base.networks import neighbourhood
from postroom.base.rate_limit import RateLimiter
from postroom.console.access.oidc import HANDSHAKE_S, OidcClient
from postroom.console.access.sessions import open_session
from postroom.console.access.sign_in import SignIn, safe_place, set_session_cookie
from postroom.console.page_request import PageFactory, actor_of, common_values, secure
from postroom.console.view.templates import render

COOKIE: Final = "postroom_oidc"
ARRIVALS_MAX: Final = 60
"""A minute and address, good ones too: behind it a whole office may sign in."""
ANSWER_LENGTH_MAX: Final = 4_000


class OidcSignIn:
    """Sign in with what a provider says."""

    def __init__(self, page_factory: PageFactory, client: OidcClient, sign_in: SignIn) -> None:
        self._page_factory = page_factory
        self._client = client
        self._console = page_factory.console
        self._arrivals = RateLimiter(clock=self._console.clock, count_max=ARRIVALS_MAX)
        sign_in.oidc = True

    async def start(self, request: Request) -> Response:
        place = safe_place(request.query_params.get("next", ""))
        address, made = await self._client.leave(redirect_url=self._redirect_url(request), place=place)
        response = RedirectResponse(address, status_code=303)
        # Lax: the browser comes back from another site, and must bring this along.
        response.set_cookie(
            COOKIE, self._client.seal(made), max_age=HANDSHAKE_S, path="/console/oidc",
            secure=secure(self._console, request), httponly=True, samesite="lax",
        )  # fmt: skip
        return response

    async def finish(self, request: Request) -> Response:
        """A page, not a redirect: on one that began at another site no strict cookie would be sent."""
        kept = self._client.open(request.cookies.get(COOKIE, ""))
        code, state = (request.query_params.get(name, "")[:ANSWER_LENGTH_MAX] for name in ("code", "state"))
        if not code:
            raise NotAuthenticated("the provider let nobody in")
        address = request.client.host if request.client else "unknown"
        if not self._arrivals.record(neighbourhood(address)):
            raise TooManyFailures("wait a minute before trying again", retry_after_s=60)
        person = await self._client.arrive(
            code=code, state=state, kept=kept, redirect_url=self._redirect_url(request)
        )
        async with self._console.transaction() as conn:
            secret = await open_session(
                conn, actor=person.actor, scopes=person.scopes, keyring=self._console.keyring
            )
            await record(conn, actor_of(request, person.actor), "console.sign_in")
        values = {**common_values(request), "session": None, "next": safe_place(kept.place)}
        response = HTMLResponse(render(self._page_factory.templates, "signed_in.html", values))
        response.delete_cookie(COOKIE, path="/console/oidc")
        set_session_cookie(response, self._console, request, secret)
        return response

    def _redirect_url(self, request: Request) -> str:
        chosen = self._console.settings.oidc.redirect_url
        return chosen or f"{request.url.scheme}://{request.url.netloc}/console/oidc/return"
