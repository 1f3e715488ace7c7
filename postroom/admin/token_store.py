"""Tokens in the database."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from postroom.admin.tokens import Scope, Token, generate_token, hash_token
from postroom.base.db import Connection, Record, fetch_one, query
from postroom.base.errors import InvalidInput, NotFound

_INSERT = query(__package__, "insert_token")
_FETCH = query(__package__, "fetch_token")
_MARK_USED = query(__package__, "mark_token_used")
_MARK_REVOKED = query(__package__, "mark_token_revoked")
_LIST = query(__package__, "list_tokens")

NAME_LENGTH_MAX = 200


async def create_token(
    conn: Connection, *, name: str, scopes: tuple[Scope, ...], expires_at: datetime | None = None
) -> tuple[str, Token]:
    """Make a token. Returns: the secret, which cannot be had again, and what is kept.

    Errors: `InvalidInput` for a name that is empty, too long or not printable.
    Transaction: the caller's; it works once that commits.
    """
    if not 1 <= len(name) <= NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidInput(f"a token's name is 1 to {NAME_LENGTH_MAX} printable characters", field="name")
    secret = generate_token()
    row = await fetch_one(conn, _INSERT, name, hash_token(secret), [str(s) for s in scopes], expires_at)
    return secret, _token(row)


async def fetch_living_token(conn: Connection, token_hash: bytes) -> Token | None:
    """The token with this hash unless it is unknown, expired or revoked; its use is noted.

    The lookup goes by hash, so that its timing says nothing about the secret.
    """
    row = await conn.fetchrow(_FETCH, token_hash)
    if row is None:
        return None
    if row["unrecorded_use"]:
        await conn.execute(_MARK_USED, row["id"])
    return _token(row)


async def revoke_token(conn: Connection, token_id: UUID) -> Token:
    """End a token; processes that know it forget it within 5 s. Errors: `NotFound`."""
    row = await conn.fetchrow(_MARK_REVOKED, token_id)
    if row is None:
        raise NotFound("there is no token with this id")
    return _token(row)


async def list_tokens(conn: Connection, *, below_id: UUID | None = None, limit: int = 200) -> list[Token]:
    """Newest first, revoked and expired ones too; `below_id` continues after the last one seen."""
    return [_token(row) for row in await conn.fetch(_LIST, limit, below_id)]


def _token(row: Record) -> Token:
    return Token(
        id=row["id"],
        name=row["name"],
        scopes=frozenset(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
