"""What Stripe sent and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from starlette.responses import Response

from postroom.admin.tokens import Scope
from postroom.base.cursor import decode_cursor
from postroom.channels.stripe import reading as store
from postroom.channels.stripe.reprocess import reprocess
from postroom.console.access.security import Form
from postroom.console.page_request import Visit
from postroom.console.view.parameters import PAGE_ROWS, choice, path_id, text

STATES: Final = ("received", "processed", "ignored", "quarantined")


async def stripe(visit: Visit) -> Response:
    request = visit.request
    filters = {"state": choice(request, "state", STATES), "type": text(request, "type")}
    after = decode_cursor(request.query_params.get("cursor"), tuple[datetime, str])
    async with visit.console.snapshot() as conn:
        found = await store.list_events(
            conn, state=filters["state"], type_=filters["type"], after=after, limit=PAGE_ROWS
        )
        summary = await store.fetch_summary(conn)
    gauges = await visit.console.gauges.read()
    tallies = gauges.tallies if gauges else {}
    return visit.page(
        "stripe.html",
        active="stripe",
        filters=filters,
        states=STATES,
        found=found,
        looked_max=store.LOOKED_MAX,
        summary=summary,
        summed_max=store.SUMMED_MAX,
        outcomes=[
            (label, value) for (name, label), value in sorted(tallies.items()) if name == "stripe_outcome"
        ],
        circuit=gauges.circuits.get("stripe") if gauges else None,
        configured=bool(visit.console.settings.stripe.webhook_secrets),
        may_replay=visit.may(Scope.OUTBOX_REPLAY),
    )


async def reprocess_event(visit: Visit, _form: Form) -> Response:
    """Today's routes and handlers get the event once more; what was sent before is not sent again."""
    message_id = path_id(visit.request)
    async with visit.console.transaction() as conn:
        again = await reprocess(conn, message_id, keyring=visit.console.keyring)
        await visit.record(conn, "stripe.reprocess", str(message_id), again=str(again))
    return visit.back(f"/console/messages/{again}", "On its way once more; nothing is sent twice.")
