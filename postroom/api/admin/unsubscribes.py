"""/v1/admin/unsubscribes: who wants no more mail of a category."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from postroom.admin import unsubscribes as actions
from postroom.api.admin.callers import GuardedRoute, Reader, SuppressionWriter
from postroom.api.context import ContextDependency
from postroom.api.http.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from postroom.channels.email import unsubscribes
from postroom.channels.email.suppressions import ADDRESS_LENGTH_MAX
from postroom.channels.email.unsubscribes import Unsubscribed

router = APIRouter(prefix="/v1/admin/unsubscribes", tags=["suppressions"], route_class=GuardedRoute)

Address = Annotated[str, Field(min_length=3, max_length=ADDRESS_LENGTH_MAX)]


class UnsubscribeQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    address: Address | None = None
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = None


class Wish(BaseModel):
    """No more mail of this category, from this tenant, to this address."""

    model_config = ConfigDict(extra="forbid")

    address: Address
    tenant: str = ""
    category: str


@router.get("")
async def list_unsubscribed(
    query: Annotated[UnsubscribeQuery, Query()], context: ContextDependency, _: Reader
) -> Page[Unsubscribed]:
    """Who has unsubscribed from what, in alphabetical order. Our log leaves out the query with addresses."""
    above = decode_cursor(query.cursor, tuple[str, str, str])
    async with context.snapshot() as conn:
        found = await unsubscribes.list_unsubscribed(
            conn, address=query.address, above=above, limit=query.limit + 1
        )
    return page_of(found, query.limit, lambda each: (each.address, each.tenant, each.category))


@router.post("", status_code=201)
async def unsubscribe(body: Wish, context: ContextDependency, caller: SuppressionWriter) -> Wish:
    """Note the wish of somebody who asked by other ways than the link; the audit trail masks the address."""
    async with context.transaction() as conn:
        kept = await actions.add(conn, **body.model_dump(), actor=caller)
    return body.model_copy(update={"address": kept})


@router.delete("")
async def resubscribe(
    wish: Annotated[Wish, Query()], context: ContextDependency, caller: SuppressionWriter
) -> Wish:
    """Mail of this category may go there again. What was left out meanwhile is not sent after all."""
    async with context.transaction() as conn:
        kept = await actions.remove(conn, **wish.model_dump(), actor=caller)
    return wish.model_copy(update={"address": kept})
