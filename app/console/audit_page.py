"""The audit trail: who changed or looked at what."""

from __future__ import annotations

from starlette.responses import Response

from app.base.cursor import decode_cursor, encode_cursor
from app.console.parameters import PAGE_ROWS, text
from app.console.visit import Visit
from app.ops import audit


async def trail(visit: Visit) -> Response:
    filters = {name: text(visit.request, name) for name in ("actor", "action")}
    below_id = decode_cursor(visit.request.query_params.get("cursor"), int)
    async with visit.console.snapshot() as conn:
        rows = await audit.list_(
            conn, below_id=below_id, actor=filters["actor"], action=filters["action"], limit=PAGE_ROWS + 1
        )
    more = encode_cursor(rows[PAGE_ROWS - 1].id) if len(rows) > PAGE_ROWS else None
    return visit.page("audit.html", active="audit", filters=filters, rows=rows[:PAGE_ROWS], more=more)
