"""/v1/admin/tokens: who may call, and the end of that."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from postroom.admin import audit, token_store
from postroom.admin.tokens import Scope, Token, parse_scopes
from postroom.api.admin.callers import Reader, TokenWriter
from postroom.api.context import ContextDependency
from postroom.base.errors import NotAllowed

router = APIRouter(prefix="/v1/admin/tokens", tags=["tokens"])


class TokenView(BaseModel):
    id: UUID
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class TokenList(BaseModel):
    tokens: list[TokenView]


class NewToken(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    scopes: list[str] = Field(min_length=1, max_length=len(Scope))
    expires_at: AwareDatetime | None = None


class CreatedToken(TokenView):
    """`secret` is shown here and never again."""

    secret: str


@router.get("")
async def list_tokens(context: ContextDependency, _: Reader) -> TokenList:
    """The newest 200, never their secrets."""
    async with context.snapshot() as conn:
        return TokenList(tokens=[_view(token) for token in await token_store.list_tokens(conn)])


@router.post("", status_code=201)
async def create_token(body: NewToken, context: ContextDependency, caller: TokenWriter) -> CreatedToken:
    """Make a token with scopes that the caller has too: nobody gives away more than they hold."""
    scopes = parse_scopes(body.scopes)
    beyond = [scope.value for scope in scopes if scope not in caller.scopes]
    if beyond:
        raise NotAllowed(f"your own token lacks {', '.join(beyond)}", field="scopes")
    async with context.transaction() as conn:
        secret, token = await token_store.create_token(
            conn, name=body.name, scopes=scopes, expires_at=body.expires_at
        )
        await audit.record(
            conn,
            actor=caller.actor,
            action="token.create",
            subject=str(token.id),
            detail={"name": token.name, "scopes": sorted(token.scopes)},
            request_id=caller.request_id,
        )
    return CreatedToken(**_view(token).model_dump(), secret=secret)


@router.delete("/{token_id}")
async def revoke_token(token_id: UUID, context: ContextDependency, caller: TokenWriter) -> TokenView:
    """End a token; every process refuses it within 5 s."""
    async with context.transaction() as conn:
        token = await token_store.revoke_token(conn, token_id)
        await audit.record(
            conn,
            actor=caller.actor,
            action="token.revoke",
            subject=str(token.id),
            detail={"name": token.name},
            request_id=caller.request_id,
        )
    return _view(token)


def _view(token: Token) -> TokenView:
    return TokenView(
        id=token.id,
        name=token.name,
        scopes=sorted(token.scopes),
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        last_used_at=token.last_used_at,
    )
