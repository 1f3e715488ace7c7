"""The ledger as a list: search by whatever names a message, or filters in the url."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from starlette.responses import RedirectResponse, Response

from postroom.base.bounded_page import BoundedPage
from postroom.base.db import Connection
from postroom.channels.webhooks.receivers import fetch_receivers
from postroom.console.page_request import PageRequest
from postroom.console.view.filters import url_query
from postroom.console.view.parameters import PAGE_ROWS, choice, moment, text
from postroom.outbox.ledger import messages as ledger
from postroom.outbox.ledger.messages import OPEN, LedgerEntry, LedgerFilter, Status
from postroom.outbox.model import Channel

WITHIN: Final = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
}
OF_MESSAGES: Final = ("type", "within", "from", "until")
"""What the page of dead letters cannot filter by."""


async def messages(request: PageRequest) -> Response:
    """`q` searches; without it the filters choose. What has not ended is listed by when it is due."""
    filters = _filters(request)
    search = filters["q"]
    if search:
        return await _search(request, str(search), filters)
    if filters["status"] in OPEN:
        return await _waiting(request, filters)
    if filters["status"] == Status.DEAD and not any(filters[name] for name in OF_MESSAGES):
        return RedirectResponse(
            "/console/dead-letters" + _query(filters, "channel", "tenant"), status_code=303
        )
    return await _ledger(request, filters)


async def _search(request: PageRequest, search: str, filters: dict[str, object]) -> Response:
    async with request.console.snapshot() as conn:
        found = await ledger.search_messages(
            conn,
            search,
            pseudonyms=request.console.keyring.pseudonyms(search),
            reach=request.session.reach,
            cursor=request.cursor,
            limit=PAGE_ROWS,
        )
        if len(found.rows) == 1 and request.cursor is None:
            return RedirectResponse(f"/console/messages/{found.rows[0].id}", status_code=303)
        return await _page(request, conn, filters, found)


async def _ledger(request: PageRequest, filters: dict[str, object]) -> Response:
    async with request.console.snapshot() as conn:
        found = await ledger.list_messages(conn, _wanted(request), cursor=request.cursor, limit=PAGE_ROWS)
        return await _page(request, conn, filters, found)


async def _waiting(request: PageRequest, filters: dict[str, object]) -> Response:
    async with request.console.snapshot() as conn:
        found = await ledger.list_waiting(conn, _wanted(request), cursor=request.cursor, limit=PAGE_ROWS)
        receivers = await fetch_receivers(conn, [row.destination for row in found.rows])
        topics = await ledger.fetch_topics(conn, [row.id for row in found.rows])
    return request.page(
        "waiting.html", active="messages", filters=filters, found=found, receivers=receivers, topics=topics,
        scan_max=ledger.WAITING_SCAN_MAX, all_statuses=tuple(Status), withins=tuple(WITHIN),
    )  # fmt: skip


async def _page(
    request: PageRequest, conn: Connection, filters: dict[str, object], found: BoundedPage[LedgerEntry]
) -> Response:
    return request.page(
        "messages.html",
        active="messages",
        filters=filters,
        found=found,
        topics=await ledger.fetch_topics(conn, [row.id for row in found.rows]),
        scan_max=ledger.SCAN_MAX,
        all_statuses=tuple(Status),
        withins=tuple(WITHIN),
    )


def _wanted(request: PageRequest) -> LedgerFilter:
    """A time that is named goes before a span."""
    within = choice(request.http, "within", WITHIN)
    since = moment(request.http, "from")
    if within and since is None:
        since = request.console.clock.now() - WITHIN[within]
    status = choice(request.http, "status", list(Status))
    return LedgerFilter(
        channel=choice(request.http, "channel", list(Channel)),
        status=Status(status) if status else None,
        tenant=text(request.http, "tenant"),
        type=text(request.http, "type"),
        created_from=since,
        created_before=moment(request.http, "until"),
    ).within(request.session.reach)


def _filters(request: PageRequest) -> dict[str, object]:
    filters: dict[str, object] = {
        name: text(request.http, name)
        for name in ("q", "channel", "type", "tenant", "within", "from", "until")
    }
    filters["status"] = choice(request.http, "status", [status.value for status in Status])
    choice(request.http, "channel", [channel.value for channel in Channel])
    return filters


def _query(filters: dict[str, object], *names: str) -> str:
    return url_query({name: filters[name] for name in names})
