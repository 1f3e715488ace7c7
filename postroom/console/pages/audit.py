"""The audit trail: who changed or looked at what."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from postroom.admin import audit
from postroom.base import json
from postroom.base.cursor import decode_cursor
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
    below_id = decode_cursor(request.http.query_params.get("cursor"), int)
    async with request.console.snapshot() as conn:
        found = await audit.list_trail(
            conn, actor=filters["actor"], action=filters["action"], below_id=below_id, limit=PAGE_ROWS
        )
    return request.page(
        "audit.html",
        active="audit",
        filters=filters,
        found=found,
        details={row["id"]: json.decode(row["detail"]) for row in found.rows},
        places={row["id"]: place_of(row["action"], row["subject"]) for row in found.rows},
        scan_max=audit.TRAIL_SCAN_MAX,
    )


def place_of(action: str, subject: str) -> str | None:
    """The page of what an entry is about, where the console has one."""
    if action.startswith("job.") and subject in JOB_NAMES:
        return f"/console/jobs/{subject}"
    folder = FOLDERS.get(action) or FOLDERS.get(action.partition(".")[0])
    return f"/console/{folder}/{subject}" if folder and uuid_or_none(subject) else None
