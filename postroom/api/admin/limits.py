"""/v1/admin/limits: how much of a channel may go out, all runners together."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from postroom.admin import limits
from postroom.admin.channels import REASON_LENGTH_MAX
from postroom.api.admin.callers import ChannelHolder, GuardedRoute, Reader
from postroom.api.context import ContextDependency
from postroom.outbox.limits import LimitKey, LimitStatus, list_limits

router = APIRouter(prefix="/v1/admin/limits", tags=["channels"], route_class=GuardedRoute)


class LimitList(BaseModel):
    limits: list[LimitStatus]


class LimitScope(BaseModel):
    """A channel, or one tenant or one destination of it."""

    model_config = ConfigDict(extra="forbid")

    channel: str
    tenant: str | None = None
    destination: str | None = None

    @property
    def key(self) -> LimitKey:
        return LimitKey(self.channel, self.tenant, self.destination)


class LimitWanted(LimitScope):
    per_second: float | None = None
    in_flight: int | None = None
    reason: str = Field(default="", max_length=REASON_LENGTH_MAX)


class LimitChanged(BaseModel):
    channel: str
    tenant: str | None
    destination: str | None
    limited: bool


@router.get("")
async def list_all(context: ContextDependency, _: Reader) -> LimitList:
    """Every limit; `reached` where something has waited for it within the last minute."""
    async with context.snapshot() as conn:
        return LimitList(limits=await list_limits(conn))


@router.post("")
async def set_limit(body: LimitWanted, context: ContextDependency, caller: ChannelHolder) -> LimitChanged:
    """Let so many start a second, or be in flight, of all runners together, in place of a limit for the same.

    It holds from a second after this on, for what is started then. What exceeds it waits, and no attempt is
    spent. The destination of a mail is the domain of its first recipient.
    """
    async with context.transaction() as conn:
        key = await limits.set_limit(
            conn,
            body.key,
            per_second=body.per_second,
            in_flight=body.in_flight,
            reason=body.reason,
            actor=caller,
        )
    return LimitChanged(**key._asdict(), limited=True)


@router.post("/remove")
async def remove_limit(body: LimitScope, context: ContextDependency, caller: ChannelHolder) -> LimitChanged:
    """End a limit; what waited for it goes out. 404 where there is none."""
    async with context.transaction() as conn:
        key = await limits.remove_limit(conn, body.key, actor=caller)
    return LimitChanged(**key._asdict(), limited=False)
