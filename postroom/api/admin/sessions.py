"""/v1/admin/sessions: who is signed in to the console, and the end of that."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from postroom.admin import sessions
from postroom.admin.sessions import SignedIn
from postroom.api.admin.callers import GuardedRoute, Reader, TokenWriter
from postroom.api.context import ContextDependency

router = APIRouter(prefix="/v1/admin/sessions", tags=["tokens"], route_class=GuardedRoute)


class SessionList(BaseModel):
    sessions: list[SignedIn]


class Ended(BaseModel):
    id: UUID
    actor: str
    ended: bool = True


@router.get("")
async def list_sessions(context: ContextDependency, _: Reader) -> SessionList:
    """The newest 200 that are not over, whether by a token, a link or OpenID Connect."""
    async with context.snapshot() as conn:
        return SessionList(sessions=await sessions.list_sessions(conn))


@router.delete("/{session_id}")
async def end_session(session_id: UUID, context: ContextDependency, caller: TokenWriter) -> Ended:
    """End a session; its next request must sign in again."""
    async with context.transaction() as conn:
        return Ended(id=session_id, actor=await sessions.end(conn, session_id, actor=caller))
