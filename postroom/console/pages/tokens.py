"""Access tokens: who has which, make one, revoke one."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from starlette.responses import Response

from postroom.admin import token_store
from postroom.admin.tokens import Scope, parse_scopes
from postroom.base.cursor import decode_cursor, encode_cursor
from postroom.base.errors import InvalidInput
from postroom.console.access.security import Form, field
from postroom.console.page_request import Visit
from postroom.console.view.parameters import PAGE_ROWS, number, path_id

DAYS_MAX = 3_650


async def tokens(visit: Visit) -> Response:
    return await _page(visit)


async def create(visit: Visit, form: Form) -> Response:
    """The list with the new token's secret, which is shown this once.

    Nobody makes a token that may do more than they may themselves.
    """
    scopes = parse_scopes(form.get("scope", []))
    beyond = [scope for scope in scopes if not visit.may(scope)]
    if beyond:
        raise InvalidInput(f"you lack {', '.join(beyond)} yourself", field="scope")
    days = number(form, "days", low=0, high=DAYS_MAX, default=0)
    expires_at = visit.console.clock.now() + timedelta(days=days) if days else None
    async with visit.console.transaction() as conn:
        secret, token = await token_store.create_token(
            conn, name=field(form, "name"), scopes=scopes, expires_at=expires_at
        )
        await visit.record(conn, "token.create", str(token.id), name=token.name, scopes=sorted(token.scopes))
    return await _page(visit, secret=secret, name=token.name)


async def revoke(visit: Visit, _form: Form) -> Response:
    """It ends within 5 s everywhere, and so do the sessions that were opened with it."""
    async with visit.console.transaction() as conn:
        token = await token_store.revoke_token(conn, path_id(visit.request))
        await visit.record(conn, "token.revoke", str(token.id), name=token.name)
    return visit.back("/console/tokens", f"{token.name} is revoked.")


async def _page(visit: Visit, *, secret: str | None = None, name: str = "") -> Response:
    below_id = decode_cursor(visit.request.query_params.get("cursor"), UUID)
    async with visit.console.snapshot() as conn:
        found = await token_store.list_tokens(conn, below_id=below_id, limit=PAGE_ROWS + 1)
    more = encode_cursor(found[PAGE_ROWS - 1].id) if len(found) > PAGE_ROWS else None
    return visit.page(
        "tokens.html", active="tokens", place="/console/tokens", rows=found[:PAGE_ROWS], more=more,
        secret=secret, name=name, scopes=tuple(Scope),
        now=visit.console.clock.now(), may_write=visit.may(Scope.TOKENS_WRITE),
    )  # fmt: skip
