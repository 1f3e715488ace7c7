"""/v1/admin/suppressions: addresses that are never emailed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from postroom.admin import suppressions as actions
from postroom.api.admin.callers import GuardedRoute, Reader, SuppressionWriter
from postroom.api.context import ContextDependency
from postroom.api.http.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from postroom.channels.email import suppressions
from postroom.channels.email.suppressions import ADDRESS_LENGTH_MAX, REASON_LENGTH_MAX, Suppression

router = APIRouter(prefix="/v1/admin/suppressions", tags=["suppressions"], route_class=GuardedRoute)

Address = Annotated[str, Field(min_length=3, max_length=ADDRESS_LENGTH_MAX)]


class SuppressionQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = None


class NewSuppression(BaseModel):
    model_config = ConfigDict(extra="forbid")

    address: Address
    reason: str = Field(min_length=1, max_length=REASON_LENGTH_MAX)


class Released(BaseModel):
    address: str
    released: bool = True


@router.get("")
async def list_suppressions(
    query: Annotated[SuppressionQuery, Query()], context: ContextDependency, _: Reader
) -> Page[Suppression]:
    """Suppressed addresses, in alphabetical order."""
    above = decode_cursor(query.cursor, str)
    async with context.snapshot() as conn:
        found = await suppressions.list_suppressions(conn, above=above, limit=query.limit + 1)
    return page_of(found, query.limit, lambda each: each.address)


@router.post("", status_code=201)
async def suppress(
    body: NewSuppression, context: ContextDependency, caller: SuppressionWriter
) -> Suppression:
    """Never email this address again; the audit trail keeps it masked."""
    async with context.transaction() as conn:
        return await actions.add(conn, address=body.address, reason=body.reason, actor=caller)


@router.delete("")
async def release(
    address: Annotated[Address, Query()], context: ContextDependency, caller: SuppressionWriter
) -> Released:
    """Allow emails to this address again. It is in the query, which our log leaves out."""
    async with context.transaction() as conn:
        return Released(address=await actions.remove(conn, address=address, actor=caller))
