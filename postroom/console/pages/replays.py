"""A replay while it runs: how far it is, and the hand that pauses it or takes it back."""

from __future__ import annotations

from starlette.responses import Response

from postroom.admin.tokens import Scope
from postroom.console.access.security import Form
from postroom.console.page_request import Visit
from postroom.console.view.parameters import path_id
from postroom.outbox.ledger import replay_runs


async def replay(visit: Visit) -> Response:
    async with visit.console.snapshot() as conn:
        progress = await replay_runs.fetch_run(conn, path_id(visit.request))
    return visit.page(
        "replay.html", active="dead-letters", progress=progress, may_replay=visit.may(Scope.OUTBOX_REPLAY)
    )


async def pause(visit: Visit, _form: Form) -> Response:
    """What nobody has tried yet goes back to the dead letters, until it is resumed."""
    run_id = path_id(visit.request)
    async with visit.console.transaction() as conn:
        count = await replay_runs.pause_run(conn, run_id, actor=visit.session.actor)
        await visit.record(conn, "replay.pause", str(run_id), held=count)
    return visit.back(f"/console/replays/{run_id}", f"Paused: {count} letters are held.")


async def resume(visit: Visit, _form: Form) -> Response:
    run_id = path_id(visit.request)
    async with visit.console.transaction() as conn:
        count = await replay_runs.resume_run(conn, run_id, actor=visit.session.actor)
        await visit.record(conn, "replay.resume", str(run_id), released=count)
    return visit.back(f"/console/replays/{run_id}", f"Resumed: {count} letters are on their way.")


async def undo(visit: Visit, _form: Form) -> Response:
    """What nobody has tried yet is dead again; what was sent stays sent."""
    run_id = path_id(visit.request)
    async with visit.console.transaction() as conn:
        count = await replay_runs.undo_run(conn, run_id, actor=visit.session.actor)
        await visit.record(conn, "replay.undo", str(run_id), returned=count)
    return visit.back(f"/console/replays/{run_id}", f"Taken back: {count} letters are dead letters again.")
