"""/v1/admin/outbox/…/replay: dead letters become deliveries again, one or many."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from postroom.admin import replay, stripe
from postroom.api.admin.callers import KEEPS_TO_REACH, GuardedRoute, MessageId, Replayer
from postroom.api.admin.dead_letters import DeadLetterTerms
from postroom.api.context import ContextDependency
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import REPLAYED_MAX, DeadLetterSample, fetch_dry_run
from postroom.outbox.ledger.replay import Replayed as Started

router = APIRouter(prefix="/v1/admin/outbox", tags=["replay"], route_class=GuardedRoute)

REPLAYED_DEFAULT: Final = 1_000


class ReplayFilter(DeadLetterTerms):
    """Everything that is given must match; at least one must be. Stripe only when it is named."""

    event_ids: Annotated[list[UUID], Field(min_length=1, max_length=1_000)] | None = None

    @model_validator(mode="after")
    def _not_everything(self) -> ReplayFilter:
        if not any(value is not None for value in self.__dict__.values()):
            raise ValueError("name at least one of " + ", ".join(type(self).model_fields))
        return self

    def filter(self) -> DeadLetterFilter:
        ids = tuple(self.event_ids) if self.event_ids else None
        return replay.replayable(self.terms(message_ids=ids))


class ReplayRequest(BaseModel):
    """`pace_per_s`: so many are due a second; 0 makes all due at once. `fresh` as below."""

    model_config = ConfigDict(extra="forbid")

    filter: ReplayFilter
    dry_run: bool = False
    fresh: bool = False
    pace_per_s: float = Field(default=0.0, ge=0, le=10_000)
    limit: int = Field(default=REPLAYED_DEFAULT, ge=1, le=REPLAYED_MAX)


class ReplayPreview(BaseModel):
    """What matched before anything was done; `matched` stops at 100,000.

    `run_id`: the replay, which can be watched, paused and taken back (console, `postroom replays`).
    """

    dry_run: bool
    matched: int
    destinations: int
    replayed: int
    sample: list[DeadLetterSample]
    run_id: UUID | None = None


class ReplayOneRequest(BaseModel):
    """`fresh`: mails are rendered from their templates as these are now, not as they were at first."""

    model_config = ConfigDict(extra="forbid")

    fresh: bool = False


class Replayed(BaseModel):
    id: UUID
    replayed: int
    at: datetime


class ResendRequest(BaseModel):
    """`endpoint_id`: only to this endpoint; otherwise to everybody who has it. `fresh` as above."""

    model_config = ConfigDict(extra="forbid")

    endpoint_id: UUID | None = None
    fresh: bool = False


class LookedUp(BaseModel):
    """`done`: whether Stripe has done it. `object_id`: what it has made, if it has."""

    model_config = ConfigDict(extra="forbid")

    done: bool
    object_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None


class Resent(BaseModel):
    id: UUID
    resent: int


@router.post("/replay", dependencies=[KEEPS_TO_REACH])
async def replay_many(body: ReplayRequest, context: ContextDependency, caller: Replayer) -> ReplayPreview:
    """Replay what matches, the oldest first; with `dry_run` only say what would be."""
    wanted = body.filter.filter()
    started = Started(0, None)
    async with context.transaction() as conn:
        found = await fetch_dry_run(conn, wanted.within(caller.reach))
        if not body.dry_run:
            started = await replay.replay_many(
                conn,
                wanted,
                limit=body.limit,
                pace_per_s=body.pace_per_s,
                fresh=body.fresh,
                actor=caller,
            )
    return ReplayPreview(
        dry_run=body.dry_run,
        matched=found.letters,
        destinations=found.receivers,
        replayed=started.count,
        sample=found.sample,
        run_id=started.run_id,
    )


@router.post("/{event_id}/replay")
async def replay_one(
    event_id: MessageId, context: ContextDependency, caller: Replayer, body: ReplayOneRequest | None = None
) -> Replayed:
    """Replay every dead letter of one message. 404 unknown, 409 nothing dead (any more)."""
    async with context.transaction() as conn:
        count = await replay.replay_one(conn, event_id, fresh=body is not None and body.fresh, actor=caller)
    return Replayed(id=event_id, replayed=count, at=context.clock.now())


@router.post("/{event_id}/resend")
async def resend(
    event_id: MessageId, context: ContextDependency, caller: Replayer, body: ResendRequest | None = None
) -> Resent:
    """Send again what was delivered, under the same id. 404 unknown, 409 nothing that can be sent again."""
    wanted = body or ResendRequest()
    async with context.transaction() as conn:
        count = await replay.resend(
            conn, event_id, endpoint_id=wanted.endpoint_id, fresh=wanted.fresh, actor=caller
        )
    return Resent(id=event_id, resent=count)


@router.post("/{event_id}/looked-up")
async def looked_up(
    event_id: MessageId, body: LookedUp, context: ContextDependency, caller: Replayer
) -> Replayed:
    """Go on with a dead call to Stripe of which nobody could tell whether it was done.

    Done: nothing is sent, and it counts as delivered. Not done: it is sent under a new idempotency key.
    404 unknown, 409 not dead, or Stripe has told how it ended.
    """
    async with context.transaction() as conn:
        count = await stripe.looked_up(conn, event_id, done=body.done, object_id=body.object_id, actor=caller)
    return Replayed(id=event_id, replayed=count, at=context.clock.now())
