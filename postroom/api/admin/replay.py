"""/v1/admin/outbox/…/replay: dead letters become deliveries again, one or many."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from postroom.admin import audit
from postroom.api.admin.callers import Replayer
from postroom.api.context import ContextDependency
from postroom.outbox.ledger import replay
from postroom.outbox.ledger.replay import LetterFilter, LetterSample
from postroom.outbox.model import Cause, Channel

router = APIRouter(prefix="/v1/admin/outbox", tags=["replay"])

REPLAYED_MAX: Final = 50_000
REPLAYED_DEFAULT: Final = 1_000

Text = Annotated[str | None, Field(max_length=500)]


class ReplayFilter(BaseModel):
    """Everything that is given must match; at least one must be. Stripe only when it is named."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel | None = None
    cause: Cause | None = None
    fingerprint: Text = None
    tenant: Text = None
    type: Text = None
    destination: Text = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    event_ids: Annotated[list[UUID], Field(min_length=1, max_length=1_000)] | None = None

    @model_validator(mode="after")
    def _not_everything(self) -> ReplayFilter:
        if not any(value is not None for value in self.__dict__.values()):
            raise ValueError("name at least one of " + ", ".join(type(self).model_fields))
        return self

    def letters(self) -> LetterFilter:
        fields = self.model_dump(exclude={"event_ids"})
        ids = tuple(self.event_ids) if self.event_ids else None
        return LetterFilter(**fields, message_ids=ids, outbound_only=self.channel is None and ids is None)


class ReplayRequest(BaseModel):
    """`pace_per_s`: so many are due a second; 0 makes all due at once."""

    model_config = ConfigDict(extra="forbid")

    filter: ReplayFilter
    dry_run: bool = False
    pace_per_s: float = Field(default=0.0, ge=0, le=10_000)
    limit: int = Field(default=REPLAYED_DEFAULT, ge=1, le=REPLAYED_MAX)


class ReplayPreview(BaseModel):
    """What matched before anything was done; `matched` stops at 100,000."""

    dry_run: bool
    matched: int
    destinations: int
    replayed: int
    sample: list[LetterSample]


class Replayed(BaseModel):
    id: UUID
    replayed: int
    at: datetime


@router.post("/replay")
async def replay_many(body: ReplayRequest, context: ContextDependency, caller: Replayer) -> ReplayPreview:
    """Replay what matches, the oldest first; with `dry_run` only say what would be."""
    letters = body.filter.letters()
    async with context.transaction() as conn:
        found = await replay.preview(conn, letters)
        count = 0
        if not body.dry_run:
            count = await replay.replay_many(
                conn, letters, actor=caller.name, limit=body.limit, pace_per_s=body.pace_per_s
            )
            wanted = body.model_dump(mode="json", exclude_none=True)
            await audit.record(conn, caller, "outbox.replay_many", replayed=count, **wanted)
    return ReplayPreview(
        dry_run=body.dry_run,
        matched=found.count,
        destinations=found.destinations,
        replayed=count,
        sample=found.sample,
    )


@router.post("/{event_id}/replay")
async def replay_one(event_id: UUID, context: ContextDependency, caller: Replayer) -> Replayed:
    """Replay every dead letter of one message. 404 unknown, 409 nothing dead (any more)."""
    async with context.transaction() as conn:
        count = await replay.replay_one(conn, event_id, actor=caller.name)
        await audit.record(conn, caller, "outbox.replay", event_id, replayed=count)
    return Replayed(id=event_id, replayed=count, at=context.clock.now())
