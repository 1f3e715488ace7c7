"""Who is signed in: a random cookie, of which the database keeps only the hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from postroom.admin.scopes import Scope
from postroom.admin.sessions import IDLE_S, LIFE_S
from postroom.base.db import Connection, query
from postroom.base.errors import NotAuthenticated
from postroom.encryption.keyring import Keyring
from postroom.outbox.reach import Reach

LINK_S: Final = 600.0
SECRET_BYTES: Final = 32
SECRET_LENGTH_MAX: Final = 100

_INSERT = query(__package__, "insert_session")
_FETCH = query(__package__, "fetch_session")
_MARK_SEEN = query(__package__, "mark_session_seen")
_DELETE = query(__package__, "delete_session")
_DELETE_ALL = query(__package__, "delete_sessions")
_PRUNE = query(__package__, "prune_sessions")
_INSERT_LINK = query(__package__, "insert_sign_in_link")
_TAKE_LINK = query(__package__, "take_sign_in_link")


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in. `csrf_token` stands in every form and is good for this session only.

    `token_id`: the token that they signed in with; the session reaches as far as that.
    """

    id: UUID
    actor: str
    scopes: frozenset[str]
    csrf_token: str
    created_at: datetime
    token_id: UUID | None
    reach: Reach

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes


async def open_session(
    conn: Connection,
    *,
    actor: str,
    token_id: UUID | None = None,
    scopes: Iterable[str] = (),
    keyring: Keyring,
) -> str:
    """Sign somebody in. Returns: the secret for the cookie, which is kept nowhere else.

    With `token_id` the session ends with the token and has the token's scopes.
    Transaction: the caller's.
    """
    secret = secrets.token_urlsafe(SECRET_BYTES)
    await conn.execute(_PRUNE, IDLE_S)
    await conn.execute(
        _INSERT, _hashes(secret, keyring)[0], actor[:300], token_id, [] if token_id else sorted(scopes)
    )
    return secret


async def fetch_session(conn: Connection, secret: str, keyring: Keyring) -> Session | None:
    """The living session behind a cookie; each use extends it. Looked up by hash."""
    if not 1 <= len(secret) <= SECRET_LENGTH_MAX:
        return None
    for kept in _hashes(secret, keyring):
        row = await conn.fetchrow(_FETCH, kept, IDLE_S, LIFE_S)
        if row is not None:
            break
    else:
        return None
    if row["unrecorded_use"]:
        await conn.execute(_MARK_SEEN, kept)
    return Session(
        id=row["id"],
        actor=row["actor"],
        scopes=frozenset(row["scopes"]),
        csrf_token=_csrf_token(secret),
        created_at=row["created_at"],
        token_id=row["token_id"],
        reach=Reach.of(row["tenants"], row["channels"]),
    )


async def close_session(conn: Connection, secret: str, keyring: Keyring) -> None:
    for kept in _hashes(secret, keyring):
        await conn.execute(_DELETE, kept)


async def close_sessions(conn: Connection, session: Session) -> None:
    """Sign out everywhere: every session of the same token or, without one, of the same person."""
    await conn.execute(_DELETE_ALL, session.actor, session.token_id)


async def create_link_code(conn: Connection, scopes: Iterable[Scope], keyring: Keyring) -> str:
    """A code that signs in once within `LINK_S`."""
    code = secrets.token_urlsafe(SECRET_BYTES)
    await conn.execute(_INSERT_LINK, _hashes(code, keyring)[0], [str(scope) for scope in scopes], LINK_S)
    return code


async def take_link_code(conn: Connection, code: str, keyring: Keyring) -> frozenset[str]:
    """Use the code up. Returns: its scopes. Errors: `NotAuthenticated` when it is used, old or unknown."""
    for kept in _hashes(code[:SECRET_LENGTH_MAX], keyring):
        scopes = await conn.fetchval(_TAKE_LINK, kept)
        if scopes is not None:
            return frozenset(scopes)
    raise NotAuthenticated("this link was used already or is older than ten minutes")


def link_name(code: str) -> str:
    """By which the audit trail connects who made a link with what was done through it."""
    return hashlib.sha256(code[:SECRET_LENGTH_MAX].encode("utf-8", "replace")).hexdigest()[:12]


def _hashes(secret: str, keyring: Keyring) -> list[bytes]:
    return keyring.hashes("session", secret)


def _csrf_token(secret: str) -> str:
    """Derived, so that it needs no keeping; the cookie cannot be had back from it."""
    return hmac.new(secret.encode(), b"postroom console form", hashlib.sha256).hexdigest()
