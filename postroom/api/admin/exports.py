"""/v1/admin/exports: the files that analysts read."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from postroom.api.admin.callers import GuardedRoute, Reader
from postroom.api.context import ContextDependency
from postroom.channels.exports.upkeep import LISTED_MAX, FileFilter, ListedFile, list_files

router = APIRouter(prefix="/v1/admin/exports", tags=["exports"], route_class=GuardedRoute)

LISTED: Final = 1_000
Text = Annotated[str | None, Field(max_length=500)]


class FileList(BaseModel):
    """`cut`: there may be more than were asked for."""

    files: list[ListedFile]
    cut: bool


@router.get("")
async def list_exports(
    context: ContextDependency,
    _: Reader,
    *,
    dataset: Text = None,
    tenant: Text = None,
    since: date | None = None,
    until: date | None = None,
    limit: Annotated[int, Query(ge=1, le=LISTED_MAX)] = LISTED,
) -> FileList:
    """Files by the days of their records, `until` not among them: where each lies, and whether readers are to
    read it. A folder's files share `manifest`, the version that lies there."""
    which = FileFilter(dataset=dataset, tenant=tenant, since=since, until=until)
    async with context.snapshot() as conn:
        files = await list_files(conn, which, limit=limit)
    return FileList(files=files, cut=len(files) == limit)
