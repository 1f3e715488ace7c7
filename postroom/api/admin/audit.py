"""GET /v1/admin/audit: who changed what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from postroom.admin import audit
from postroom.admin.audit import AuditEntry
from postroom.api.admin.callers import GuardedRoute, Reader
from postroom.api.context import ContextDependency
from postroom.api.http.paging import LIMIT_DEFAULT, Cursor, Limit, Page

router = APIRouter(prefix="/v1/admin/audit", tags=["audit"], route_class=GuardedRoute)

Text = Annotated[str | None, Field(max_length=200)]


class AuditQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    actor: Text = None
    action: Text = None
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = None


@router.get("")
async def list_audit(
    query: Annotated[AuditQuery, Query()], context: ContextDependency, _: Reader
) -> Page[AuditEntry]:
    """The audit trail, newest first."""
    async with context.snapshot() as conn:
        found = await audit.list_trail(conn, **query.model_dump())
    return Page(items=found.rows, next_cursor=found.cursor)
