"""/v1/admin/tokens: who may call, and the end of that."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from postroom.admin import tokens
from postroom.admin.scopes import Scope
from postroom.admin.tokens import NAME_LENGTH_MAX, TENANTS_MAX, Token
from postroom.api.admin.callers import KEEPS_TO_REACH, GuardedRoute, Reader, TokenWriter
from postroom.api.context import ContextDependency
from postroom.outbox.model import Channel

router = APIRouter(prefix="/v1/admin/tokens", tags=["tokens"], route_class=GuardedRoute)


class TokenView(BaseModel):
    """`tenants`, `channels`: null means all. `parent_id`: the token that it was made with, and ends with."""

    id: UUID
    name: str
    scopes: list[str]
    tenants: list[str] | None
    channels: list[str] | None
    parent_id: UUID | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    living: bool


class TokenList(BaseModel):
    tokens: list[TokenView]


class NewToken(BaseModel):
    """`scopes`: names of scopes or roles (viewer, on-call, developer, administrator).

    `tenants`, `channels`: all that the caller reaches, unless given. `expires_at`: after POSTROOM_TOKEN_DAYS,
    unless given.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=NAME_LENGTH_MAX)
    scopes: list[str] = Field(min_length=1, max_length=len(Scope))
    tenants: Annotated[list[str], Field(min_length=1, max_length=TENANTS_MAX)] | None = None
    channels: Annotated[list[Channel], Field(min_length=1)] | None = None
    expires_at: AwareDatetime | None = None


class CreatedToken(TokenView):
    """`secret` is shown here and never again."""

    secret: str


@router.get("", dependencies=[KEEPS_TO_REACH])
async def list_tokens(context: ContextDependency, caller: Reader) -> TokenList:
    """The newest 200, never their secrets. A limited token sees itself and those that were made with it."""
    async with context.snapshot() as conn:
        found = await tokens.list_tokens(conn, within=tokens.own_tokens(caller))
    return TokenList(tokens=[_view(token) for token in found])


@router.post("", status_code=201, dependencies=[KEEPS_TO_REACH])
async def create_token(body: NewToken, context: ContextDependency, caller: TokenWriter) -> CreatedToken:
    """Create a token. It may do, reach and outlast no more than the caller's own, and ends with that."""
    async with context.transaction() as conn:
        secret, token = await tokens.create(
            conn,
            name=body.name,
            scopes=body.scopes,
            tenants=body.tenants,
            channels=body.channels,
            expires_at=body.expires_at,
            lifetime=context.settings.token_lifetime,
            keyring=context.keyring,
            actor=caller,
        )
    return CreatedToken(**_view(token).model_dump(), secret=secret)


@router.delete("/{token_id}", dependencies=[KEEPS_TO_REACH])
async def revoke_token(token_id: UUID, context: ContextDependency, caller: TokenWriter) -> TokenView:
    """Revoke a token and those that were made with it; every process refuses them within 5 s."""
    async with context.transaction() as conn:
        return _view(await tokens.revoke(conn, token_id, actor=caller))


def _view(token: Token) -> TokenView:
    tenants, channels = token.reach.parameters()
    return TokenView(
        id=token.id,
        name=token.name,
        scopes=sorted(token.scopes),
        tenants=tenants,
        channels=channels,
        parent_id=token.parent_id,
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        last_used_at=token.last_used_at,
        living=token.living,
    )
