"""Stripe's events: signatures, Stripe's API, and what events cause."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import aiohttp

from drill.installation import STRIPE_SECRET
from drill.scenario import Scenario, Scene
from postroom.dev.stripe_api import Fault
from postroom.dev.stripe_events import make_id

ROLLED_SECRET: Final = "whsec_cm9sbGVkLXJvbGxlZC1yb2xsZWQtcm9sbGVk"  # noqa: S105  made up
LAST_ATTEMPT: Final = 11
WAIT_S: Final = 60.0
POLL_S: Final = 0.2


async def roll_secret(scene: Scene) -> None:
    """Stripe signs with a new secret that nobody gave us."""
    scene.installation.stripe_secret = ROLLED_SECRET


async def rolled_variables(_: Scene) -> Mapping[str, str]:
    return {"NEW_STRIPE_SECRETS": f"{ROLLED_SECRET},{STRIPE_SECRET}"}


async def fail_api(scene: Scene) -> None:
    scene.installation.stripe.fail(Fault.SERVER_ERROR)


async def recover_api(scene: Scene) -> None:
    scene.installation.stripe.recover()


async def break_handler(scene: Scene) -> None:
    """Two events that a faulty handler gets; of the first one, the hours of its retries are skipped."""
    scene.installation.broken_handler.touch()
    await _update_customer(scene)
    async with asyncio.timeout(WAIT_S):
        while not await scene.installation.pool.fetchval(
            "update postroom.delivery set attempts = $1, due_at = now()"
            " where channel = 'stripe' and state = 'retry' and attempts < $1"
            " and message_id in (select id from postroom.message where type = 'customer.updated')"
            " returning 1",
            LAST_ATTEMPT,
        ):
            await asyncio.sleep(POLL_S)
    await _update_customer(scene)


async def _update_customer(scene: Scene) -> None:
    customer = {"id": make_id("cus"), "object": "customer", "email": "customer@example.com"}
    async with aiohttp.ClientSession() as session, asyncio.timeout(WAIT_S):
        while await scene.traffic.send(session, "customer.updated", customer) != 200:
            await asyncio.sleep(POLL_S)


async def mend_handler(scene: Scene) -> None:
    scene.installation.broken_handler.unlink()


SCENARIOS = (
    Scenario(
        name="secret-rolled",
        fault="Stripe signs with a secret that we do not know",
        alerts=("StripeWebhookErrors",),
        break_it=roll_secret,
        variables=rolled_variables,
        alone=True,
    ),
    Scenario(
        name="stripe-failing",
        fault="Stripe's API answers 500",
        alerts=("StripeCircuitOpened", "StripeEffectsBudgetBurn"),
        break_it=fail_api,
        mend_outside=recover_api,
        # What waited goes at the pace of the budget, a limit like others.
        also=frozenset({"CircuitOpenLong", "StripeWebhookErrors", "DeliveriesFailing", "LimitReachedLong"}),
    ),
    Scenario(
        name="handler-broken",
        fault="a handler raises on every attempt",
        alerts=("StripeDeadLettersGrowing", "DeliveriesFailing"),
        labels={"DeliveriesFailing": {"channel": "stripe"}},
        break_it=break_handler,
        mend_outside=mend_handler,
        also=frozenset({"StripeWebhookErrors"}),
    ),
)
