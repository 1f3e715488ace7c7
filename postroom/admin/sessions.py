"""Who is signed in to the console, by a token, a link or OpenID Connect; ending one of these sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from postroom.admin.audit import Actor, record
from postroom.base.bounded_page import as_kind
from postroom.base.db import Connection, query
from postroom.base.errors import NotFound

IDLE_S: Final = 12 * 3_600.0
LIFE_S: Final = 7 * 86_400.0
LISTED_MAX: Final = 200

_LIST = query(__package__, "list_sessions")
_END = query(__package__, "end_session")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """One session. `token_id`: the token that it was opened with, and ends with."""

    id: UUID
    actor: str
    token_id: UUID | None
    scopes: list[str]
    created_at: datetime
    seen_at: datetime


async def list_sessions(conn: Connection) -> list[SignedIn]:
    """Those that are not over, newest first, at most `LISTED_MAX`."""
    return [as_kind(row, SignedIn) for row in await conn.fetch(_LIST, IDLE_S, LIFE_S, LISTED_MAX)]


async def end(conn: Connection, session_id: UUID, *, actor: Actor) -> str:
    """End a session: its next request must sign in again. Returns: whose it was.

    Does not promise that they cannot: the token, or the person at the provider, is to be shut out, too.
    Errors: `NotFound`. Transaction: the caller's.
    """
    whose: str | None = await conn.fetchval(_END, session_id)
    if whose is None:
        raise NotFound("there is no session with this id, or it is over")
    await record(conn, actor, "session.end", session_id, actor=whose)
    return whose
