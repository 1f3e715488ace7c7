"""Access tokens and sessions: who has which, make a token, revoke one, end a session."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from starlette.responses import Response

from postroom.admin import sessions
from postroom.admin import tokens as actions
from postroom.admin.scopes import ROLES, Scope
from postroom.base.cursor import decode_cursor, encode_cursor
from postroom.console.access.security import Form, field
from postroom.console.page_request import PageRequest
from postroom.console.view.parameters import PAGE_ROWS, number, path_id

DAYS_MAX = 3_650


async def tokens(request: PageRequest) -> Response:
    return await _page(request)


async def create(request: PageRequest, form: Form) -> Response:
    """The list with the new token's secret, which is shown this once."""
    days = number(form, "days", low=0, high=DAYS_MAX, default=0)
    expires_at = request.console.clock.now() + timedelta(days=days) if days else None
    async with request.console.transaction() as conn:
        secret, token = await actions.create(
            conn,
            name=field(form, "name"),
            scopes=form.get("scope", []),
            tenants=[name for each in field(form, "tenants").split(",") if (name := each.strip())] or None,
            channels=form.get("channel"),
            expires_at=expires_at,
            keyring=request.console.keyring,
            lifetime=request.console.settings.token_lifetime,
            actor=request.actor,
        )
    return await _page(request, secret=secret, name=token.name)


async def revoke(request: PageRequest, _form: Form) -> Response:
    """It ends within 5 s everywhere, and so do its sessions and the tokens that were made with it."""
    async with request.console.transaction() as conn:
        token = await actions.revoke(conn, path_id(request.http), actor=request.actor)
    return request.back("/console/tokens", f"{token.name} is revoked.")


async def end_session(request: PageRequest, _form: Form) -> Response:
    """Its next request must sign in again."""
    async with request.console.transaction() as conn:
        whose = await sessions.end(conn, path_id(request.http), actor=request.actor)
    return request.back("/console/tokens", f"A session of {whose} is over.")


async def _page(request: PageRequest, *, secret: str | None = None, name: str = "") -> Response:
    below_id = decode_cursor(request.http.query_params.get("cursor"), UUID)
    async with request.console.snapshot() as conn:
        own = actions.own_tokens(request.actor)
        found = await actions.list_tokens(conn, below_id=below_id, within=own, limit=PAGE_ROWS + 1)
        beside = below_id is None and not request.session.reach.limited
        signed_in = await sessions.list_sessions(conn) if beside else []
    more = encode_cursor(found[PAGE_ROWS - 1].id) if len(found) > PAGE_ROWS else None
    return request.page(
        "tokens.html",
        active="tokens",
        place="/console/tokens",
        rows=found[:PAGE_ROWS],
        more=more,
        signed_in=signed_in,
        secret=secret,
        name=name,
        scopes=tuple(Scope),
        roles=ROLES,
        lifetime=request.console.settings.token_lifetime,
        now=request.console.clock.now(),
        may_write=request.may(Scope.TOKENS_WRITE),
    )
