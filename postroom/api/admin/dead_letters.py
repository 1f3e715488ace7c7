"""The dead-letter office: /v1/admin/outbox/dead-letter and /v1/admin/queues/dead-letter."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from postroom.api.admin.callers import KEEPS_TO_REACH, GuardedRoute, Reader
from postroom.api.context import ContextDependency
from postroom.api.http.paging import LIMIT_DEFAULT, Cursor, Limit, Page
from postroom.base.errors import InvalidInput
from postroom.outbox.ledger import dead_letters as ledger
from postroom.outbox.ledger.dead_letters import DeadLetter, DeadLetterCount, DeadLetterFilter, DeadLetterGroup
from postroom.outbox.model import OUTBOUND, Cause, Channel

router = APIRouter(prefix="/v1/admin", tags=["dead letters"], route_class=GuardedRoute)

COUNTED_MAX: Final = 100_000

Text = Annotated[str | None, Field(max_length=500)]


class DeadLetterTerms(BaseModel):
    """Everything that is given must match."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel | None = None
    cause: Cause | None = None
    fingerprint: Text = None
    tenant: Text = None
    type: Text = None
    destination: Text = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None

    def terms(
        self, *, channels: tuple[Channel, ...] | None = None, message_ids: tuple[UUID, ...] | None = None
    ) -> DeadLetterFilter:
        """`channels`: any of these, unless one is named."""
        given = {name: getattr(self, name) for name in DeadLetterTerms.model_fields if name != "channel"}
        channels = channels if self.channel is None else (self.channel,)
        return DeadLetterFilter(channels=channels, message_ids=message_ids, **given)


class DeadLetterQuery(DeadLetterTerms):
    """A page may be shorter than `limit` though more follow: follow `next_cursor` until there is none."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = None


class OutboundQuery(DeadLetterQuery):
    """`group=fingerprint` gathers those of one fault."""

    group: Literal["fingerprint"] | None = None


class DeadLetterGroups(BaseModel):
    groups: list[DeadLetterGroup]


class DeadLetterQueues(Page[DeadLetter]):
    """Every channel. `counts` are of all letters, not of this page; above 100,000 it is the canary's last."""

    counts: list[DeadLetterCount]


@router.get("/outbox/dead-letter", dependencies=[KEEPS_TO_REACH])
async def list_outbound(
    query: Annotated[OutboundQuery, Query()], context: ContextDependency, caller: Reader
) -> Page[DeadLetter] | DeadLetterGroups:
    """Outbound dead letters, newest first, or grouped by what went wrong."""
    if query.channel is not None and query.channel not in OUTBOUND:
        raise InvalidInput("dead letters of stripe are at /v1/admin/queues/dead-letter", field="channel")
    wanted = query.terms(channels=OUTBOUND).within(caller.reach)
    async with context.snapshot() as conn:
        if query.group is not None:
            groups = await ledger.list_dead_letter_groups(conn, wanted, limit=query.limit)
            return DeadLetterGroups(groups=groups)
        found = await ledger.list_dead_letters(conn, wanted, cursor=query.cursor, limit=query.limit)
    return Page(items=found.rows, next_cursor=found.cursor)


@router.get("/queues/dead-letter", dependencies=[KEEPS_TO_REACH])
async def list_every_channel(
    query: Annotated[DeadLetterQuery, Query()], context: ContextDependency, caller: Reader
) -> DeadLetterQueues:
    """Dead letters of every channel, Stripe's included: counts and items."""
    wanted = query.terms().within(caller.reach)
    async with context.snapshot() as conn:
        found = await ledger.list_dead_letters(conn, wanted, cursor=query.cursor, limit=query.limit)
        counts = await ledger.count_dead_letters(conn, counted_max=COUNTED_MAX, reach=caller.reach)
    return DeadLetterQueues(items=found.rows, next_cursor=found.cursor, counts=counts)
