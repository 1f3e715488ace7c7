"""The dead-letter office: faults, letters, and the dry run before a replay."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from postroom.admin import replay as actions
from postroom.base.db import Connection
from postroom.base.errors import Conflict, InvalidInput
from postroom.base.ids import parse_uuid
from postroom.channels.webhooks.receivers import fetch_receivers
from postroom.console.access.security import Form, field
from postroom.console.page_request import PageRequest
from postroom.console.view.filters import url_query
from postroom.console.view.parameters import PAGE_ROWS, choice, number, text
from postroom.outbox.ledger import dead_letters as ledger
from postroom.outbox.ledger import replay_runs
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import REPLAYED_MAX, fetch_dry_run
from postroom.outbox.ledger.replay_runs import Progress, ReplayRun, RunState
from postroom.outbox.model import Cause, Channel

PACES: Final = (0, 1, 5, 20, 100)
GROUPS_MAX: Final = 100
DRY_RUN_SCAN_MAX: Final = 20_000
CHOSEN_MAX: Final = 1_000
RUNS_SHOWN_MAX: Final = 3
RUNS_LOOKED_AT_MAX: Final = 50
PROGRESS_ITEMS_MAX: Final = 2_000
LINGER: Final = timedelta(minutes=15)
PACE_MAX: Final = 10_000.0
FILTERS: Final = ("channel", "cause", "fingerprint", "tenant", "destination")


async def dead_letters(request: PageRequest) -> Response:
    """Without a fingerprint the faults come first; the letters below fit the filters."""
    filters = _filters(request.http)
    wanted = _wanted(filters).within(request.session.reach)
    grouped = not (wanted.fingerprint or wanted.tenant or wanted.destination or request.cursor)
    async with request.console.snapshot() as conn:
        groups = await ledger.list_dead_letter_groups(conn, wanted, limit=GROUPS_MAX) if grouped else []
        found = await ledger.list_dead_letters(conn, wanted, cursor=request.cursor, limit=PAGE_ROWS)
        receivers = await fetch_receivers(conn, [row.destination for row in found.rows])
        runs = await _under_way(request, conn)
    return request.page(
        "dead_letters.html",
        active="dead-letters",
        filters=filters,
        groups=groups,
        groups_max=GROUPS_MAX,
        found=found,
        receivers=receivers,
        scan_max=ledger.SCAN_MAX,
        runs=runs,
    )


async def _under_way(request: PageRequest, conn: Connection) -> list[tuple[ReplayRun, Progress | None]]:
    """The latest replays that are not over, as far as can be told without looking at every letter of many."""
    now = request.console.clock.now()
    found: list[tuple[ReplayRun, Progress | None]] = []
    reached = request.session.reach
    looked_at_max = RUNS_LOOKED_AT_MAX if reached.limited else RUNS_SHOWN_MAX
    latest = await replay_runs.list_runs(conn, limit=looked_at_max)
    for run in [each for each in latest if each.reach.within(reached)][:RUNS_SHOWN_MAX]:
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
    wanted = actions.replayable(_wanted(filters, ids)).within(request.session.reach)
    async with request.console.snapshot() as conn:
        found = await fetch_dry_run(conn, wanted, scan_max=DRY_RUN_SCAN_MAX)
    return request.page(
        "dry_run.html",
        active="dead-letters",
        filters=filters,
        ids=ids,
        found=found,
        replayed_max=REPLAYED_MAX,
        paces=PACES,
        place_back="/console/dead-letters" + url_query(filters),
    )


async def start(request: PageRequest, form: Form) -> Response:
    """Replay what matches now, at the pace that was chosen."""
    wanted = actions.replayable(
        _wanted({name: field(form, name) or None for name in FILTERS}, _chosen(form.get("id", [])))
    )
    pace_per_s = number(form, "pace_own", low=0, high=PACE_MAX, default=-1)
    if pace_per_s < 0:
        pace_per_s = number(form, "pace", low=0, high=PACE_MAX, default=0)
    async with request.console.transaction() as conn:
        fresh = bool(field(form, "fresh"))
        started = await actions.replay_many(
            conn, wanted, pace_per_s=pace_per_s, fresh=fresh, actor=request.actor
        )
    if started.run_id is None:
        raise Conflict("no dead letter matches: they were replayed already, or never died")
    return request.back(f"/console/replays/{started.run_id}", f"Replaying {started.count} letters.")


def _wanted(filters: dict[str, str | None], ids: tuple[UUID, ...] = ()) -> DeadLetterFilter:
    return DeadLetterFilter(
        channels=(filters["channel"],) if filters["channel"] else None,
        cause=filters["cause"],
        fingerprint=filters["fingerprint"],
        tenant=filters["tenant"],
        destination=filters["destination"],
        message_ids=ids or None,
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
