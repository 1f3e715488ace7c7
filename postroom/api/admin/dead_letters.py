"""The dead-letter office: /v1/admin/outbox/dead-letter and /v1/admin/queues/dead-letter."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from postroom.api.admin.callers import Reader
from postroom.api.context import ContextDependency
from postroom.api.http.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from postroom.base.db import Connection
from postroom.base.errors import InvalidInput
from postroom.outbox.ledger import dead_letters as letters
from postroom.outbox.ledger.dead_letters import (
    DeadLetterCount,
    DeadLetterFilter,
    DeadLetterGroup,
    DeadLetterPosition,
)
from postroom.outbox.ledger.messages import DeadLetter
from postroom.outbox.model import OUTBOUND, Cause, Channel

router = APIRouter(prefix="/v1/admin", tags=["dead letters"])

Text = Annotated[str | None, Field(max_length=500)]


class DeadLetterQuery(BaseModel):
    """Everything that is given must match."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel | None = None
    cause: Cause | None = None
    fingerprint: Text = None
    tenant: Text = None
    since: AwareDatetime | None = None
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = None

    def filter(self, every: tuple[Channel, ...]) -> DeadLetterFilter:
        channels = every if self.channel is None else (self.channel,)
        return DeadLetterFilter(channels, self.cause, self.fingerprint, self.tenant, self.since)


class OutboundQuery(DeadLetterQuery):
    """`group=fingerprint` gathers those of one fault."""

    group: Literal["fingerprint"] | None = None


class DeadLetterGroups(BaseModel):
    groups: list[DeadLetterGroup]


class DeadLetterQueues(Page[DeadLetter]):
    """Every channel. `counts` are of all letters, not of this page."""

    counts: list[DeadLetterCount]


@router.get("/outbox/dead-letter")
async def list_outbound(
    query: Annotated[OutboundQuery, Query()], context: ContextDependency, _: Reader
) -> Page[DeadLetter] | DeadLetterGroups:
    """Outbound dead letters, newest first, or grouped by what went wrong."""
    if query.channel is not None and query.channel not in OUTBOUND:
        raise InvalidInput("dead letters of stripe are at /v1/admin/queues/dead-letter", field="channel")
    wanted = query.filter(OUTBOUND)
    async with context.snapshot() as conn:
        if query.group is None:
            return await _page(conn, wanted, query)
        groups = await letters.list_dead_letter_groups(conn, wanted, limit=query.limit)
        return DeadLetterGroups(groups=groups)


@router.get("/queues/dead-letter")
async def list_every_channel(
    query: Annotated[DeadLetterQuery, Query()], context: ContextDependency, _: Reader
) -> DeadLetterQueues:
    """Dead letters of every channel, Stripe's included: counts and items."""
    async with context.snapshot() as conn:
        page = await _page(conn, query.filter(tuple(Channel)), query)
        counts = await letters.count_dead_letters(conn)
    return DeadLetterQueues(items=page.items, next_cursor=page.next_cursor, counts=counts)


async def _page(conn: Connection, wanted: DeadLetterFilter, query: DeadLetterQuery) -> Page[DeadLetter]:
    after = decode_cursor(query.cursor, DeadLetterPosition)
    found = await letters.list_dead_letters(conn, wanted, after=after, limit=query.limit + 1)
    return page_of(
        found, query.limit, lambda letter: DeadLetterPosition(letter.died_at, letter.message_id, letter.n)
    )
