"""The channels: what waits on each, and the switch that pauses one."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from postroom.admin.channels import pause as pause_channel
from postroom.admin.channels import resume as resume_channel
from postroom.admin.tokens import Scope
from postroom.base.errors import Unavailable
from postroom.console.access.security import Form, field
from postroom.console.page_request import PageRequest
from postroom.console.pages.overview import channel_rows
from postroom.health.crowding import check_crowding

PLACE: Final = "/console/channels"


async def channels(request: PageRequest) -> Response:
    gauges = await request.console.gauges.read()
    if gauges is None:
        raise Unavailable("the database cannot be asked right now")
    async with request.console.snapshot() as conn:
        crowding = await check_crowding(conn)
    return request.page(
        "channels.html",
        active="channels",
        rows=channel_rows(gauges, ()),
        paused=gauges.paused,
        limits=gauges.limits,
        crowding=crowding,
        may_write=request.may(Scope.CHANNELS_WRITE),
    )


async def pause(request: PageRequest, form: Form) -> Response:
    name = str(request.http.path_params["channel"])
    async with request.console.transaction() as conn:
        await pause_channel(conn, name, reason=field(form, "reason"), actor=request.actor)
    return request.back(PLACE, f"{name} is paused.")


async def resume(request: PageRequest, _form: Form) -> Response:
    name = str(request.http.path_params["channel"])
    async with request.console.transaction() as conn:
        await resume_channel(conn, name, actor=request.actor)
    return request.back(PLACE, f"{name} goes on.")
