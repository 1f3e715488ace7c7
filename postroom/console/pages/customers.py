"""What a customer of Stripe may use."""

from __future__ import annotations

from starlette.responses import Response

from postroom.base.errors import NotFound
from postroom.channels.stripe.access_store import LISTED_MAX, list_access
from postroom.console.page_request import PageRequest
from postroom.console.view.parameters import text
from postroom.outbox.model import Channel


async def customers(request: PageRequest) -> Response:
    """One customer in all accounts; without one only the field to name one."""
    customer = text(request.http, "customer")
    rows = []
    if customer is not None:
        if not request.session.reach.covers(tenant=customer, channel=Channel.STRIPE):
            raise NotFound("there is no such customer", field="customer")
        async with request.console.snapshot() as conn:
            rows = await list_access(conn, customer)
    return request.page(
        "customers.html", active="stripe", customer=customer, rows=rows, listed_max=LISTED_MAX
    )
