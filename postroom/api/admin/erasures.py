"""POST /v1/admin/erasures: one person leaves the ledger."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from postroom.admin import erasure
from postroom.admin.erasure import ADDRESS_LENGTH_MAX, START, ErasureReport
from postroom.api.admin.callers import Eraser, GuardedRoute
from postroom.api.context import ContextDependency

router = APIRouter(prefix="/v1/admin/erasures", tags=["erasures"], route_class=GuardedRoute)

TIME_MAX_S: Final = 20.0


class NewErasure(BaseModel):
    """`cancel_open` cancels what waits to be sent; without it such messages are listed and left alone."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(min_length=3, max_length=ADDRESS_LENGTH_MAX)
    cancel_open: bool = False
    resume_after: UUID = START


@router.post("")
async def erase(body: NewErasure, context: ContextDependency, caller: Eraser) -> ErasureReport:
    """Empty all that holds this address. Where `resume_after` comes back, send it to go on."""
    return await erasure.erase(
        context.transaction,
        who=erasure.person(body.email),
        cancel_open=body.cancel_open,
        after=body.resume_after,
        time_max_s=TIME_MAX_S,
        keyring=context.keyring,
        actor=caller,
    )
