"""Access tokens: how one looks, what it may do, making and ending one. Only its hash is ever kept."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from postroom.admin.audit import Actor, record
from postroom.admin.scopes import Scope as Scope
from postroom.admin.scopes import parse_scopes as parse_scopes
from postroom.base.bounded_page import as_kind
from postroom.base.db import Connection, Record, query
from postroom.base.errors import InvalidInput, NotAllowed, NotAuthenticated, NotFound
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.model import Channel
from postroom.outbox.reach import EVERYTHING, Reach

PREFIX: Final = "pr_"
SECRET_BYTES: Final = 20
CHECKSUM_LENGTH: Final = 7
NAME_LENGTH_MAX: Final = 200
TENANTS_MAX: Final = 1_000
_SHAPE: Final = re.compile(rf"{PREFIX}([a-z2-7]{{32}})([a-z2-7]{{{CHECKSUM_LENGTH}}})")

_INSERT = query(__package__, "insert_token")
_FETCH = query(__package__, "fetch_token")
_MARK_USED = query(__package__, "mark_token_used")
_MARK_REVOKED = query(__package__, "mark_token_revoked")
_LIST = query(__package__, "list_tokens")
_KEEP_HASH = query(__package__, "keep_token_hash")
_HASHED: Final = "token"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: everything but the secret.

    `ancestors`: the token it was made with, that one's own, and so on, the nearest last. It works no longer
    than any of them. `living`: whether it works.
    """

    id: UUID
    name: str
    scopes: frozenset[str]
    reach: Reach
    ancestors: tuple[UUID, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    living: bool = True

    @property
    def actor(self) -> str:
        """How the audit trail names whoever used it."""
        return f"token:{self.name}"

    @property
    def parent_id(self) -> UUID | None:
        """The token that it was made with."""
        return self.ancestors[-1] if self.ancestors else None


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


async def create(
    conn: Connection,
    *,
    name: str,
    scopes: Iterable[str],
    tenants: Collection[str] | None = None,
    channels: Collection[str] | None = None,
    expires_at: datetime | None = None,
    lifetime: timedelta | None,
    keyring: Keyring,
    actor: Actor,
    secret: str | None = None,
) -> tuple[str, Token]:
    """Make a token. Nobody gives away more than they may do and reach themselves.

    `secret`: of a token of another ledger that shall work here, too; else a new one is made.

    `tenants`, `channels`: all that the actor reaches, unless told. `lifetime`: it ends after that, unless
    `expires_at` is told, and never after the token that it is made with.
    Returns: the secret, which cannot be had again, and what is kept.
    Errors: `InvalidInput` naming the field; `NotAllowed` for what the actor lacks; `NotAuthenticated` where
    the actor's own token has ended.
    Transaction: the caller's; it works once that commits.
    """
    chosen = parse_scopes(scopes)
    if beyond := [scope.value for scope in chosen if scope not in actor.scopes]:
        raise NotAllowed(f"you lack {', '.join(beyond)} yourself", field="scopes")
    for field, asked in {"tenants": (tenants, None), "channels": (None, channels)}.items():
        if not actor.reach.narrowed(*asked).within(actor.reach):
            raise NotAllowed(f"you do not reach all of these {field} yourself", field=field)
    reach = actor.reach.narrowed(tenants, channels)
    secret, token = await insert_token(
        conn,
        name=name,
        scopes=chosen,
        reach=reach,
        expires_at=expires_at,
        lifetime=lifetime,
        parent_id=actor.token_id,
        keyring=keyring,
        secret=secret,
    )
    ends = {"expires_at": token.expires_at.isoformat()} if token.expires_at else {}
    given = {"name": token.name, "scopes": sorted(token.scopes), **ends, **reach.described()}
    await record(conn, actor, "token.create", token.id, **given)
    return secret, token


async def revoke(conn: Connection, token_id: UUID, *, actor: Actor) -> Token:
    """End a token and what was made with it; processes that know one forget it within 5 s. Sessions end, too.

    Who reaches not everything ends their own token and what was made with it, and finds no other.
    Errors: `NotFound`. Transaction: the caller's.
    """
    row = await conn.fetchrow(_MARK_REVOKED, token_id, own_tokens(actor))
    if row is None:
        raise NotFound("there is no token with this id")
    token = _token(row)
    children = {"children": row["children"]} if row["children"] else {}
    await record(conn, actor, "token.revoke", token.id, name=token.name, **children)
    return token


def own_tokens(actor: Actor) -> UUID | None:
    """The token within whose family an actor stays who does not reach everything; see `list_tokens`."""
    return actor.token_id if actor.reach.limited else None


async def insert_token(
    conn: Connection,
    *,
    name: str,
    scopes: tuple[Scope, ...],
    reach: Reach = EVERYTHING,
    expires_at: datetime | None = None,
    lifetime: timedelta | None = None,
    parent_id: UUID | None = None,
    keyring: Keyring = NO_KEYS,
    secret: str | None = None,
) -> tuple[str, Token]:
    """The row of a new token, without a place in the trail; `create` is what an operator calls.

    Returns: the secret and what is kept.
    Errors: `InvalidInput` for a name that is empty, too long or not printable, and for tenants and channels
    that cannot be; `NotAuthenticated` where the parent has ended.
    """
    if not 1 <= len(name) <= NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidInput(f"a token's name is 1 to {NAME_LENGTH_MAX} printable characters", field="name")
    check_reach(reach)
    secret = secret or generate_token()
    row = await conn.fetchrow(
        _INSERT,
        *(name, keyring.hashes(_HASHED, secret)[0], [str(s) for s in scopes], expires_at),
        lifetime.total_seconds() if lifetime else None,
        *reach.parameters(),
        parent_id,
    )
    if row is None:
        raise NotAuthenticated("the token that this one would be made with has ended")
    return secret, _token(row)


def check_reach(reach: Reach) -> None:
    """Errors: `InvalidInput` for tenants and channels that cannot be, and for none."""
    if reach.tenants is not None and not (
        1 <= len(reach.tenants) <= TENANTS_MAX and all(1 <= len(t) <= NAME_LENGTH_MAX for t in reach.tenants)
    ):
        raise InvalidInput(
            f"1 to {TENANTS_MAX:,} tenants of 1 to {NAME_LENGTH_MAX} characters", field="tenants"
        )
    if reach.channels is not None and not (reach.channels and reach.channels <= set(Channel)):
        raise InvalidInput(f"one or more of {', '.join(Channel)}", field="channels")


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


async def list_tokens(
    conn: Connection, *, below_id: UUID | None = None, within: UUID | None = None, limit: int = 200
) -> list[Token]:
    """Newest first, revoked and expired ones too; `below_id` continues after the last one seen.

    `within`: only this token and what was made with it.
    """
    return [_token(row) for row in await conn.fetch(_LIST, limit, below_id, within)]


def _token(row: Record) -> Token:
    return as_kind(row, Token, reach={"tenants": row["tenants"], "channels": row["channels"]})


def _checksum(body: str) -> str:
    check = zlib.crc32((PREFIX + body).encode()).to_bytes(4, "big")
    return base64.b32encode(check).decode().lower().rstrip("=")
