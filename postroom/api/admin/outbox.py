"""/v1/admin/outbox: the ledger, one message with everything that happened to it, and the hand on it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from postroom.admin import messages
from postroom.admin.scopes import Scope
from postroom.api.admin.callers import KEEPS_TO_REACH, Canceller, GuardedRoute, MessageId, Reader, Replayer
from postroom.api.context import ContextDependency
from postroom.api.http.paging import LIMIT_DEFAULT, Cursor, Limit, Page
from postroom.outbox.ledger import messages as ledger
from postroom.outbox.ledger import story
from postroom.outbox.ledger.messages import LedgerEntry, LedgerFilter, Status
from postroom.outbox.ledger.story import AttemptEntry, MessageStory
from postroom.outbox.model import Channel

router = APIRouter(prefix="/v1/admin/outbox", tags=["outbox"], route_class=GuardedRoute)

Text = Annotated[str | None, Field(max_length=500)]


class LedgerQuery(BaseModel):
    """Everything that is given must match. A page may be shorter than `limit` though more follow."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel | None = None
    status: Status | None = None
    tenant: Text = None
    type: Text = None
    key: Text = None
    correlation_id: Text = None
    created_from: AwareDatetime | None = None
    created_before: AwareDatetime | None = None
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = None


class Cancelled(BaseModel):
    """`asked`: its task runs, and has been asked to end."""

    id: UUID
    cancelled: int
    asked: bool


class DueNow(BaseModel):
    id: UUID
    due_now: int


class Attempts(BaseModel):
    items: list[AttemptEntry]


@router.get("", dependencies=[KEEPS_TO_REACH])
async def list_messages(
    query: Annotated[LedgerQuery, Query()], context: ContextDependency, caller: Reader
) -> Page[LedgerEntry]:
    """The ledger, newest first."""
    wanted = LedgerFilter(**query.model_dump(exclude={"limit", "cursor"})).within(caller.reach)
    async with context.snapshot() as conn:
        found = await ledger.list_messages(conn, wanted, cursor=query.cursor, limit=query.limit)
    return Page(items=found.rows, next_cursor=found.cursor)


@router.get("/{event_id}")
async def fetch_message(event_id: MessageId, context: ContextDependency, caller: Reader) -> MessageStory:
    """One message: its deliveries, attempts, dead letters, and what belongs to the same chain.

    With the scope `payload:read` its payload, too, and an entry in the audit trail; else `payload_hidden` is
    true.
    """
    if Scope.PAYLOAD_READ in caller.scopes:
        async with context.transaction() as conn:
            return await messages.show_payload(
                conn, event_id, keyring=context.keyring, how="reveal", actor=caller
            )
    async with context.snapshot() as conn:
        return await story.fetch_message(conn, event_id, keyring=None, reach=caller.reach)


@router.get("/{event_id}/attempts")
async def list_attempts(
    event_id: MessageId, context: ContextDependency, _: Reader, endpoint_id: UUID | None = None
) -> Attempts:
    """Every attempt at one message and where it went; with `endpoint_id`, whether that endpoint got it."""
    async with context.snapshot() as conn:
        return Attempts(items=await story.list_attempts(conn, event_id, endpoint_id=endpoint_id))


@router.post("/{event_id}/cancel")
async def cancel_message(event_id: MessageId, context: ContextDependency, caller: Canceller) -> Cancelled:
    """Cancel what has not been sent. A task that runs is asked to end, within two seconds; else what is in
    flight is left alone (409 if that is all).
    """
    async with context.transaction() as conn:
        done = await messages.cancel(conn, event_id, actor=caller)
    return Cancelled(id=event_id, cancelled=done.cancelled, asked=done.asked)


@router.post("/{event_id}/deliver-now")
async def deliver_now(event_id: MessageId, context: ContextDependency, caller: Replayer) -> DueNow:
    """Do not wait for the next attempt. 404 unknown, 409 nothing waits for its time."""
    async with context.transaction() as conn:
        count = await messages.deliver_now(conn, event_id, actor=caller)
    return DueNow(id=event_id, due_now=count)
