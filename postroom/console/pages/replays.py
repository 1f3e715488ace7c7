"""A replay while it runs: how far it is, and the hand that pauses it or takes it back."""

from __future__ import annotations

from starlette.responses import Response

from postroom.admin import replay as actions
from postroom.admin.tokens import Scope
from postroom.console.access.security import Form
from postroom.console.page_request import PageRequest
from postroom.console.view.parameters import path_id
from postroom.outbox.ledger import replay_runs


async def replay(request: PageRequest) -> Response:
    async with request.console.snapshot() as conn:
        progress = await replay_runs.fetch_run(conn, path_id(request.http))
    return request.page(
        "replay.html",
        active="dead-letters",
        progress=progress,
        may_replay=request.may(Scope.OUTBOX_REPLAY),
    )


async def pause(request: PageRequest, _form: Form) -> Response:
    """What nobody has tried yet goes back to the dead letters, until it is resumed."""
    run_id = path_id(request.http)
    async with request.console.transaction() as conn:
        count = await actions.pause(conn, run_id, actor=request.actor)
    return request.back(f"/console/replays/{run_id}", f"Paused: {count} letters are held.")


async def resume(request: PageRequest, _form: Form) -> Response:
    run_id = path_id(request.http)
    async with request.console.transaction() as conn:
        count = await actions.resume(conn, run_id, actor=request.actor)
    return request.back(f"/console/replays/{run_id}", f"Resumed: {count} letters are on their way.")


async def undo(request: PageRequest, _form: Form) -> Response:
    """What nobody has tried yet is dead again; what was sent stays sent."""
    run_id = path_id(request.http)
    async with request.console.transaction() as conn:
        count = await actions.undo(conn, run_id, actor=request.actor)
    return request.back(f"/console/replays/{run_id}", f"Taken back: {count} letters are dead letters again.")
