"""Access tokens: how one looks, what it may do, making and ending one. Only its hash is ever kept."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from postroom.admin.audit import Actor, record
from postroom.base.db import Connection, Record, fetch_one, query
from postroom.base.errors import InvalidInput, NotAllowed, NotFound
from postroom.encryption.keyring import NO_KEYS, Keyring

PREFIX: Final = "pr_"
SECRET_BYTES: Final = 20
CHECKSUM_LENGTH: Final = 7
NAME_LENGTH_MAX: Final = 200
_SHAPE: Final = re.compile(rf"{PREFIX}([a-z2-7]{{32}})([a-z2-7]{{{CHECKSUM_LENGTH}}})")

_INSERT = query(__package__, "insert_token")
_FETCH = query(__package__, "fetch_token")
_MARK_USED = query(__package__, "mark_token_used")
_MARK_REVOKED = query(__package__, "mark_token_revoked")
_LIST = query(__package__, "list_tokens")
_KEEP_HASH = query(__package__, "keep_token_hash")
_HASHED: Final = "token"


class Scope(StrEnum):
    """What a token may do."""

    ADMIN_READ = "admin:read"
    OUTBOX_REPLAY = "outbox:replay"
    OUTBOX_CANCEL = "outbox:cancel"
    JOBS_RUN = "jobs:run"
    EVENTS_WRITE = "events:write"
    METRICS_READ = "metrics:read"
    ENDPOINTS_WRITE = "endpoints:write"
    CIRCUITS_WRITE = "circuits:write"
    CHANNELS_WRITE = "channels:write"
    TOKENS_WRITE = "tokens:write"
    SUPPRESSIONS_WRITE = "suppressions:write"
    ERASURE_WRITE = "erasure:write"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: everything but the secret."""

    id: UUID
    name: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @property
    def actor(self) -> str:
        """How the audit trail names whoever used it."""
        return f"token:{self.name}"


def generate_token() -> str:
    """A new secret: prefix, 160 random bits, checksum. Shown once, to whoever asked for it."""
    body = base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode().lower()
    return PREFIX + body + _checksum(body)


def well_formed(text: str) -> bool:
    """Whether it can be a token at all. Catches typing errors without asking the database."""
    found = _SHAPE.fullmatch(text)
    return found is not None and _checksum(found[1]) == found[2]


def hash_token(text: str) -> bytes:
    """As it is kept without keys. SHA-256; enough without salt, because the secret is 160 random bits."""
    return hashlib.sha256(text.encode()).digest()


def parse_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """Scopes by name, each once. Errors: `InvalidInput` naming the known ones."""
    known = {scope.value: scope for scope in Scope}
    chosen: dict[Scope, None] = {}
    for name in names:
        if name not in known:
            raise InvalidInput(f"unknown scope {name[:50]!r}; known: {', '.join(known)}", field="scopes")
        chosen[known[name]] = None
    if not chosen:
        raise InvalidInput(f"a token needs at least one scope of {', '.join(known)}", field="scopes")
    return tuple(chosen)


async def create(
    conn: Connection,
    *,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    keyring: Keyring,
    actor: Actor,
) -> tuple[str, Token]:
    """Make a token. Nobody gives away more than they may do themselves.

    Returns: the secret, which cannot be had again, and what is kept.
    Errors: `InvalidInput` naming the field; `NotAllowed` for scopes that the actor lacks.
    Transaction: the caller's; it works once that commits.
    """
    chosen = parse_scopes(scopes)
    if beyond := [scope.value for scope in chosen if scope not in actor.scopes]:
        raise NotAllowed(f"you lack {', '.join(beyond)} yourself", field="scopes")
    secret, token = await insert_token(conn, name=name, scopes=chosen, expires_at=expires_at, keyring=keyring)
    await record(conn, actor, "token.create", token.id, name=token.name, scopes=sorted(token.scopes))
    return secret, token


async def revoke(conn: Connection, token_id: UUID, *, actor: Actor) -> Token:
    """End a token; processes that know it forget it within 5 s, and its sessions end with it.

    Errors: `NotFound`. Transaction: the caller's.
    """
    row = await conn.fetchrow(_MARK_REVOKED, token_id)
    if row is None:
        raise NotFound("there is no token with this id")
    token = _token(row)
    await record(conn, actor, "token.revoke", token.id, name=token.name)
    return token


async def insert_token(
    conn: Connection,
    *,
    name: str,
    scopes: tuple[Scope, ...],
    expires_at: datetime | None = None,
    keyring: Keyring = NO_KEYS,
) -> tuple[str, Token]:
    """The row of a new token, without a place in the trail; `create` is what an operator calls.

    Returns: the secret and what is kept.
    Errors: `InvalidInput` for a name that is empty, too long or not printable.
    """
    if not 1 <= len(name) <= NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidInput(f"a token's name is 1 to {NAME_LENGTH_MAX} printable characters", field="name")
    secret = generate_token()
    kept = keyring.hashes(_HASHED, secret)[0]
    row = await fetch_one(conn, _INSERT, name, kept, [str(s) for s in scopes], expires_at)
    return secret, _token(row)


async def find_living_token(conn: Connection, text: str, keyring: Keyring) -> Token | None:
    """The living token with this secret, whichever hash of it is kept; see `Keyring.hashes`.

    Where keys are required, today's hash is kept from now on.
    """
    now, *before = keyring.hashes(_HASHED, text)
    token = await fetch_living_token(conn, now)
    for kept in before if token is None else ():
        token = await fetch_living_token(conn, kept)
        if token is not None:
            if keyring.required is not None:
                await conn.execute(_KEEP_HASH, kept, now)
            break
    return token


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


async def list_tokens(conn: Connection, *, below_id: UUID | None = None, limit: int = 200) -> list[Token]:
    """Newest first, revoked and expired ones too; `below_id` continues after the last one seen."""
    return [_token(row) for row in await conn.fetch(_LIST, limit, below_id)]


def _token(row: Record) -> Token:
    values = {field.name: row[field.name] for field in fields(Token)}
    return Token(**{**values, "scopes": frozenset(row["scopes"])})


def _checksum(body: str) -> str:
    check = zlib.crc32((PREFIX + body).encode()).to_bytes(4, "big")
    return base64.b32encode(check).decode().lower().rstrip("=")
