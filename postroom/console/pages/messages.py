"""The ledger as a list: search by whatever names a message, or filters in the url."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from postroom.base.bounded_page import BoundedPage
from postroom.base.cursor import decode_cursor, encode_cursor
from postroom.base.db import Connection
from postroom.base.ids import uuid_or_none
from postroom.channels.webhooks.receivers import fetch_receivers
from postroom.console.page_request import PageRequest
from postroom.console.view.filters import url_query
from postroom.console.view.parameters import PAGE_ROWS, choice, moment, text
from postroom.outbox.ledger import message_pages as store
from postroom.outbox.ledger.messages import Status
from postroom.outbox.model import Channel

WITHIN: Final = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
}
OF_MESSAGES: Final = ("type", "within", "from", "until")
"""What the page of dead letters cannot filter by."""
OPEN: Final = (Status.PENDING, Status.RETRY, Status.PARKED)


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
    as_id = uuid_or_none(search)
    below_id = decode_cursor(request.http.query_params.get("cursor"), UUID)
    async with request.console.snapshot() as conn:
        rows = await store.search_messages(
            conn,
            search,
            as_id=as_id,
            below_id=below_id,
            limit=PAGE_ROWS + 1,
            pseudonyms=request.console.keyring.pseudonyms(search),
        )
        statuses = await store.fetch_statuses(conn, rows)
        topics = await store.fetch_topics(conn, [row["id"] for row in rows])
    if len(rows) == 1 and below_id is None:
        return RedirectResponse(f"/console/messages/{rows[0]['id']}", status_code=303)
    more = encode_cursor(rows[PAGE_ROWS - 1]["id"]) if len(rows) > PAGE_ROWS else None
    return _page(request, filters, BoundedPage(rows[:PAGE_ROWS], more), statuses, topics)


async def _ledger(request: PageRequest, filters: dict[str, object]) -> Response:
    since, before = _published(request)
    wanted = store.MessageFilter(
        channel=choice(request.http, "channel", list(Channel)),
        type=text(request.http, "type"),
        tenant=text(request.http, "tenant"),
        ended=str(filters["status"]) if filters["status"] else None,
        created_from=since,
        created_before=before,
    )
    below_id = decode_cursor(request.http.query_params.get("cursor"), UUID)
    async with request.console.snapshot() as conn:
        found = await store.list_messages(conn, wanted, below_id=below_id, limit=PAGE_ROWS)
        statuses = await store.fetch_statuses(conn, found.rows)
        topics = await store.fetch_topics(conn, [row["id"] for row in found.rows])
    return _page(request, filters, found, statuses, topics)


async def _waiting(request: PageRequest, filters: dict[str, object]) -> Response:
    status = str(filters["status"])
    cursor = request.http.query_params.get("cursor")
    if status == Status.PARKED:
        after = (store.BEGINNING, decode_cursor(cursor, int) or 0)
    else:
        after = decode_cursor(cursor, tuple[datetime, int]) or (store.BEGINNING, 0)
    async with request.console.snapshot() as conn:
        found = await _list_waiting(conn, request, status, after)
        receivers = await fetch_receivers(conn, [row["destination"] for row in found.rows])
        topics = await store.fetch_topics(conn, [row["id"] for row in found.rows])
    return request.page(
        "waiting.html", active="messages", filters=filters, found=found, receivers=receivers, topics=topics,
        scan_max=store.WAITING_SCAN_MAX, all_statuses=tuple(Status), withins=tuple(WITHIN),
    )  # fmt: skip


async def _list_waiting(
    conn: Connection, request: PageRequest, status: str, after: tuple[datetime, int]
) -> BoundedPage:
    parked = status == Status.PARKED
    since, before = _published(request)
    return await store.list_waiting(
        conn,
        channels=store.every_channel(choice(request.http, "channel", list(Channel))),
        states=["pending", "retry"] if parked else [status],
        parked=parked,
        tenant=text(request.http, "tenant"),
        type_=text(request.http, "type"),
        created_from=since,
        created_before=before,
        after=after,
        limit=PAGE_ROWS,
    )


def _published(request: PageRequest) -> tuple[datetime | None, datetime | None]:
    """From when until when; a time that is named goes before a span."""
    within = choice(request.http, "within", WITHIN)
    since = moment(request.http, "from")
    if within and since is None:
        since = request.console.clock.now() - WITHIN[within]
    return since, moment(request.http, "until")


def _page(
    request: PageRequest,
    filters: dict[str, object],
    found: BoundedPage,
    statuses: dict[UUID, str],
    topics: dict[UUID, str],
) -> Response:
    return request.page(
        "messages.html",
        active="messages",
        filters=filters,
        found=found,
        statuses=statuses,
        topics=topics,
        scan_max=store.SCAN_MAX,
        all_statuses=tuple(Status),
        withins=tuple(WITHIN),
    )


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
