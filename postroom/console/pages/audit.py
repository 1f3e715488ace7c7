"""The audit trail: who changed or looked at what."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from postroom.admin import audit
from postroom.base.ids import uuid_or_none
from postroom.console.page_request import PageRequest
from postroom.console.view.parameters import PAGE_ROWS, text
from postroom.worker.model import JOB_NAMES

FOLDERS: Final = {
    "outbox.replay_many": "replays",
    "replay": "replays",
    "outbox": "messages",
    "message": "messages",
    "endpoint": "webhooks",
}


async def trail(request: PageRequest) -> Response:
    filters = {name: text(request.http, name) for name in ("actor", "action")}
    async with request.console.snapshot() as conn:
        found = await audit.list_trail(conn, **filters, cursor=request.cursor, limit=PAGE_ROWS)
    return request.page(
        "audit.html",
        active="audit",
        filters=filters,
        found=found,
        places={entry.id: place_of(entry.action, entry.subject) for entry in found.rows},
        scan_max=audit.TRAIL_SCAN_MAX,
    )


def place_of(action: str, subject: str) -> str | None:
    """The page of what an entry is about, where the console has one."""
    if action.startswith("job.") and subject in JOB_NAMES:
        return f"/console/jobs/{subject}"
    folder = FOLDERS.get(action) or FOLDERS.get(action.partition(".")[0])
    return f"/console/{folder}/{subject}" if folder and uuid_or_none(subject) else None
