"""/v1/admin/tokens: who may call, and the end of that."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from postroom.admin import tokens
from postroom.admin.tokens import NAME_LENGTH_MAX, Scope, Token
from postroom.api.admin.callers import GuardedRoute, Reader, TokenWriter
from postroom.api.context import ContextDependency

router = APIRouter(prefix="/v1/admin/tokens", tags=["tokens"], route_class=GuardedRoute)


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

    name: str = Field(min_length=1, max_length=NAME_LENGTH_MAX)
    scopes: list[str] = Field(min_length=1, max_length=len(Scope))
    expires_at: AwareDatetime | None = None


class CreatedToken(TokenView):
    """`secret` is shown here and never again."""

    secret: str


@router.get("")
async def list_tokens(context: ContextDependency, _: Reader) -> TokenList:
    """The newest 200, never their secrets."""
    async with context.snapshot() as conn:
        return TokenList(tokens=[_view(token) for token in await tokens.list_tokens(conn)])


@router.post("", status_code=201)
async def create_token(body: NewToken, context: ContextDependency, caller: TokenWriter) -> CreatedToken:
    """Create a token. Its scopes must be among the caller's own."""
    async with context.transaction() as conn:
        secret, token = await tokens.create(
            conn,
            name=body.name,
            scopes=body.scopes,
            expires_at=body.expires_at,
            keyring=context.keyring,
            actor=caller,
        )
    return CreatedToken(**_view(token).model_dump(), secret=secret)


@router.delete("/{token_id}")
async def revoke_token(token_id: UUID, context: ContextDependency, caller: TokenWriter) -> TokenView:
    """Revoke a token; every process refuses it within 5 s."""
    async with context.transaction() as conn:
        return _view(await tokens.revoke(conn, token_id, actor=caller))


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
