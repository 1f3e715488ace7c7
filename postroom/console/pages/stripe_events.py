"""What Stripe sent and what came of it."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from postroom.admin.stripe import reprocess
from postroom.admin.tokens import Scope
from postroom.channels.stripe import reading as store
from postroom.console.access.security import Form
from postroom.console.page_request import PageRequest
from postroom.console.view.parameters import PAGE_ROWS, choice, path_id, text

STATES: Final = ("received", "processed", "ignored", "quarantined")


async def stripe(request: PageRequest) -> Response:
    filters = {"state": choice(request.http, "state", STATES), "type": text(request.http, "type")}
    async with request.console.snapshot() as conn:
        found = await store.list_events(
            conn, state=filters["state"], type_=filters["type"], cursor=request.cursor, limit=PAGE_ROWS
        )
        summary = await store.fetch_summary(conn)
    gauges = await request.console.gauges.read()
    tallies = gauges.tallies if gauges else {}
    return request.page(
        "stripe.html",
        active="stripe",
        filters=filters,
        states=STATES,
        found=found,
        scan_max=store.SCAN_MAX,
        summary=summary,
        summed_max=store.SUMMED_MAX,
        outcomes=[
            (label, value) for (name, label), value in sorted(tallies.items()) if name == "stripe_outcome"
        ],
        circuit=gauges.circuits.get("stripe") if gauges else None,
        accounts=gauges.stripe if gauges else (),
        configured=request.console.settings.stripe.on,
        may_replay=request.may(Scope.OUTBOX_REPLAY),
    )


async def reprocess_event(request: PageRequest, _form: Form) -> Response:
    """Today's routes and handlers get the event once more; what was sent before is not sent again."""
    message_id = path_id(request.http)
    async with request.console.transaction() as conn:
        again = await reprocess(conn, message_id, keyring=request.console.keyring, actor=request.actor)
    return request.back(f"/console/messages/{again}", "On its way once more; nothing is sent twice.")
