"""The dead-letter office: faults, letters, and the dry run before a replay."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from postroom.admin.audit import record
from postroom.base.cursor import decode_cursor
from postroom.base.db import Connection
from postroom.base.errors import InvalidInput
from postroom.base.ids import parse_uuid
from postroom.console.access.security import Form, field
from postroom.console.page_request import PageRequest
from postroom.console.view.filters import url_query
from postroom.console.view.parameters import PAGE_ROWS, choice, number, text
from postroom.outbox.ledger import dead_letter_pages as store
from postroom.outbox.ledger import replay_runs
from postroom.outbox.ledger.replay import LetterFilter
from postroom.outbox.ledger.replay_runs import Progress, ReplayRun, RunState
from postroom.outbox.model import Cause, Channel

PACES: Final = (0, 1, 5, 20, 100)
CHOSEN_MAX: Final = 1_000
RUNS_SHOWN_MAX: Final = 3
PROGRESS_ITEMS_MAX: Final = 2_000
LINGER: Final = timedelta(minutes=15)
PACE_MAX: Final = 10_000.0
FILTERS: Final = ("channel", "cause", "fingerprint", "tenant", "destination")


async def dead_letters(request: PageRequest) -> Response:
    """Without a fingerprint the faults come first; the letters below fit the filters."""
    filters = _filters(request.http)
    after = decode_cursor(request.http.query_params.get("cursor"), tuple[datetime, UUID, int])
    wanted = store.LetterPage(**filters)
    grouped = not (filters["fingerprint"] or filters["tenant"] or filters["destination"] or after)
    async with request.console.snapshot() as conn:
        groups = (
            await store.list_groups(conn, channel=filters["channel"], cause=filters["cause"])
            if grouped
            else []
        )
        found = await store.list_letters(conn, wanted, after=after, limit=PAGE_ROWS)
        runs = await _under_way(request, conn)
    return request.page(
        "dead_letters.html",
        active="dead-letters",
        filters=filters,
        groups=groups,
        groups_max=store.GROUPS_MAX,
        found=found,
        scan_max=store.SCAN_MAX,
        runs=runs,
    )


async def _under_way(request: PageRequest, conn: Connection) -> list[tuple[ReplayRun, Progress | None]]:
    """The latest replays that are not over, as far as can be told without looking at every letter of many."""
    now = request.console.clock.now()
    found: list[tuple[ReplayRun, Progress | None]] = []
    for run in await replay_runs.list_runs(conn, limit=RUNS_SHOWN_MAX):
        if run.items <= PROGRESS_ITEMS_MAX:
            progress = await replay_runs.fetch_run(conn, run.id)
            if not progress.over or run.state == RunState.PAUSED:
                found.append((run, progress))
            continue
        takes_s = run.items / run.pace_per_s if run.pace_per_s else 0.0
        ends_at = run.changed_at + timedelta(seconds=takes_s) + LINGER
        if run.state == RunState.PAUSED or (run.state == RunState.RUNNING and now < ends_at):
            found.append((run, None))
    return found


async def dry_run(request: PageRequest) -> Response:
    """What a replay would do: how many, to whom, for how long. Touches nothing."""
    filters = _filters(request.http)
    ids = _chosen(request.http.query_params.getlist("id"))
    letters = letter_filter(filters, ids)
    async with request.console.snapshot() as conn:
        found = await store.fetch_dry_run(conn, letters)
    return request.page(
        "dry_run.html",
        active="dead-letters",
        filters=filters,
        ids=ids,
        found=found,
        items_max=replay_runs.ITEMS_MAX,
        paces=PACES,
        place_back="/console/dead-letters" + url_query(filters),
    )


async def start(request: PageRequest, form: Form) -> Response:
    """Replay what matches now, at the pace that was chosen."""
    filters: dict[str, str | None] = {name: field(form, name) or None for name in FILTERS}
    ids = _chosen(form.get("id", []))
    pace_per_s = number(form, "pace_own", low=0, high=PACE_MAX, default=-1)
    if pace_per_s < 0:
        pace_per_s = number(form, "pace", low=0, high=PACE_MAX, default=0)
    letters = letter_filter(filters, ids)
    async with request.console.transaction() as conn:
        progress = await replay_runs.start_run(conn, letters, actor=request.actor.name, pace_per_s=pace_per_s)
        detail: dict[str, Any] = {
            "replayed": progress.run.items,
            "pace_per_s": pace_per_s,
            "filter": progress.run.wanted,
        }
        await record(conn, request.actor, "outbox.replay_many", progress.run.id, **detail)
    return request.back(f"/console/replays/{progress.run.id}", f"Replaying {progress.run.items} letters.")


def letter_filter(filters: dict[str, str | None], ids: tuple[UUID, ...]) -> LetterFilter:
    """Everything that is given must match; at least one must be. Stripe's only when something names them.

    Errors: `InvalidInput`.
    """
    if not ids and not any(filters.values()):
        raise InvalidInput("choose letters, a fault, or at least one filter: everything at once is too much")
    named = ids or filters["channel"] or filters["fingerprint"]
    return LetterFilter(
        channel=filters["channel"],
        cause=filters["cause"],
        fingerprint=filters["fingerprint"],
        tenant=filters["tenant"],
        destination=filters["destination"],
        message_ids=ids or None,
        outbound_only=not named,
    )


def _filters(request: Request) -> dict[str, str | None]:
    return {
        "channel": choice(request, "channel", [channel.value for channel in Channel]),
        "cause": choice(request, "cause", [cause.value for cause in Cause]),
        **{name: text(request, name) for name in ("fingerprint", "tenant", "destination")},
    }


def _chosen(values: list[str]) -> tuple[UUID, ...]:
    if len(values) > CHOSEN_MAX:
        raise InvalidInput(f"at most {CHOSEN_MAX} letters can be chosen one by one", field="id")
    return tuple(dict.fromkeys(parse_uuid(value) for value in values))
