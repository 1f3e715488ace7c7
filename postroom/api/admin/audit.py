"""GET /v1/admin/audit: who changed what; /v1/admin/audit/export: all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from postroom.admin import audit
from postroom.admin.audit import AuditEntry
from postroom.api.admin.callers import GuardedRoute, Reader
from postroom.api.context import ContextDependency
from postroom.api.http.paging import LIMIT_DEFAULT, Cursor, Limit, Page

router = APIRouter(prefix="/v1/admin/audit", tags=["audit"], route_class=GuardedRoute)

NDJSON: Final = "application/x-ndjson"
Text = Annotated[str | None, Field(max_length=200)]


class AuditQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    actor: Text = None
    action: Text = None
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = None


class ExportQuery(BaseModel):
    """Moments with a zone; `until` is not included."""

    model_config = ConfigDict(extra="forbid")

    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {NDJSON: {"schema": {"type": "string"}}}}},
)
async def export_audit(
    query: Annotated[ExportQuery, Query()], context: ContextDependency, _: Reader
) -> StreamingResponse:
    """The whole audit trail, oldest first, one JSON object a line."""
    lines = audit.export(context.snapshot, since=query.since, until=query.until)
    first = await anext(lines, "")  # a database that is away is a 503, and not an empty trail

    async def whole() -> AsyncIterator[str]:
        yield first
        async for page in lines:
            yield page

    return StreamingResponse(whole(), media_type=NDJSON)


@router.get("")
async def list_audit(
    query: Annotated[AuditQuery, Query()], context: ContextDependency, _: Reader
) -> Page[AuditEntry]:
    """The audit trail, newest first."""
    async with context.snapshot() as conn:
        found = await audit.list_trail(conn, **query.model_dump())
    return Page(items=found.rows, next_cursor=found.cursor)
