"""/v1/admin/channels: which channels are paused; pause one, resume it."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from postroom.admin import channels
from postroom.admin.channels import REASON_LENGTH_MAX
from postroom.api.admin.callers import ChannelHolder, GuardedRoute, Reader
from postroom.api.context import ContextDependency
from postroom.outbox import pauses
from postroom.outbox.pauses import ChannelStatus

router = APIRouter(prefix="/v1/admin/channels", tags=["channels"], route_class=GuardedRoute)


class ChannelList(BaseModel):
    channels: list[ChannelStatus]


class PauseWanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=REASON_LENGTH_MAX)


class ChannelChanged(BaseModel):
    channel: str
    paused: bool


@router.get("")
async def list_channels(context: ContextDependency, _: Reader) -> ChannelList:
    """Every channel, and why it is paused, if it is."""
    async with context.snapshot() as conn:
        return ChannelList(channels=await pauses.list_channels(conn))


@router.post("/{channel}/pause")
async def pause_channel(
    channel: str, body: PauseWanted, context: ContextDependency, caller: ChannelHolder
) -> ChannelChanged:
    """Deliver nothing of a channel until it is resumed, from a second after this on.

    Publishing goes on; what waits keeps its attempts. 404 names the channels.
    """
    async with context.transaction() as conn:
        await channels.pause(conn, channel, reason=body.reason, actor=caller)
    return ChannelChanged(channel=channel, paused=True)


@router.post("/{channel}/resume")
async def resume_channel(channel: str, context: ContextDependency, caller: ChannelHolder) -> ChannelChanged:
    """Deliver again what waited, the oldest first. 404 names the channels."""
    async with context.transaction() as conn:
        await channels.resume(conn, channel, actor=caller)
    return ChannelChanged(channel=channel, paused=False)
