"""/v1/stripe/customers: what a customer may use."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from postroom.api.admin.callers import KEEPS_TO_REACH, AccessReader, GuardedRoute
from postroom.api.context import Context, ContextDependency
from postroom.base.errors import Conflict, NotFound, Unavailable
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.channels.stripe.access_store import AccessRow, list_access
from postroom.channels.stripe.refresh_store import Asked, Code, Fault, answer_of, ask_refresh
from postroom.outbox.model import Channel

router = APIRouter(prefix="/v1/stripe/customers", tags=["stripe"], route_class=GuardedRoute)

WITHIN_S: Final = 10.0
LOOK_S: Final = 0.05

Customer = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,200}$")]


class AccessQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    account: str = Field(default=OWN_ACCOUNT, pattern=r"^[A-Za-z0-9_/]{1,200}$")
    refresh: bool = False


class CustomerAccess(BaseModel):
    customer: str
    account: str
    access: list[AccessRow]


@router.get("/{customer}/access", dependencies=[KEEPS_TO_REACH])
async def read_access(
    customer: Customer,
    query: Annotated[AccessQuery, Query()],
    context: ContextDependency,
    caller: AccessReader,
) -> CustomerAccess:
    """What a customer may use, and might once: products and features, each with `active`, `until` and `why`.

    `refresh=true` has a runner fetch it from Stripe before, for the return from a checkout: 404 where Stripe
    knows no such customer, 409 where the key may not read it, 503 after 10 seconds or when Stripe is away.
    A caller who is limited to some tenants reaches the customers among them.
    """
    if not caller.reach.covers(tenant=customer, channel=Channel.STRIPE):
        raise NotFound("there is no such customer", field="customer")
    if query.refresh:
        await _refreshed(context, customer, query.account)
    async with context.snapshot() as conn:
        found = await list_access(conn, customer, account=query.account)
    return CustomerAccess(customer=customer, account=query.account, access=found)


async def _refreshed(context: Context, customer: str, account: str) -> None:
    """Errors: `NotFound`, `Conflict`, `Unavailable`."""
    async with context.transaction() as conn:
        asked = Asked(account, customer, await ask_refresh(conn, customer, account))
    deadline_s = context.clock.monotonic() + WITHIN_S
    while True:
        async with context.snapshot() as conn:
            answer = await answer_of(conn, asked)
        if isinstance(answer, Fault):
            raise _told(answer)
        if answer:
            return
        if context.clock.monotonic() > deadline_s:
            raise Unavailable(f"no runner has fetched it within {WITHIN_S:g} s; it is still asked for")
        await asyncio.sleep(LOOK_S)


def _told(fault: Fault) -> NotFound | Conflict | Unavailable:
    match fault.code:
        case Code.NO_CUSTOMER:
            return NotFound(fault.text, field="customer")
        case Code.NO_ACCOUNT:
            return NotFound(fault.text, field="account")
        case Code.REFUSED:
            return Conflict(fault.text)
        case Code.AWAY:
            return Unavailable(fault.text)
