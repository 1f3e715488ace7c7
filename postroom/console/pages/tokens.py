"""Access tokens: who has which, make one, revoke one."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from starlette.responses import Response

from postroom.admin import tokens as actions
from postroom.admin.tokens import Scope
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
            expires_at=expires_at,
            keyring=request.console.keyring,
            actor=request.actor,
        )
    return await _page(request, secret=secret, name=token.name)


async def revoke(request: PageRequest, _form: Form) -> Response:
    """It ends within 5 s everywhere, and so do the sessions that were opened with it."""
    async with request.console.transaction() as conn:
        token = await actions.revoke(conn, path_id(request.http), actor=request.actor)
    return request.back("/console/tokens", f"{token.name} is revoked.")


async def _page(request: PageRequest, *, secret: str | None = None, name: str = "") -> Response:
    below_id = decode_cursor(request.http.query_params.get("cursor"), UUID)
    async with request.console.snapshot() as conn:
        found = await actions.list_tokens(conn, below_id=below_id, limit=PAGE_ROWS + 1)
    more = encode_cursor(found[PAGE_ROWS - 1].id) if len(found) > PAGE_ROWS else None
    return request.page(
        "tokens.html", active="tokens", place="/console/tokens", rows=found[:PAGE_ROWS], more=more,
        secret=secret, name=name, scopes=tuple(Scope),
        now=request.console.clock.now(), may_write=request.may(Scope.TOKENS_WRITE),
    )  # fmt: skip
