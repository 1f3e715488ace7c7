"""Stripe's events: signatures, Stripe's API, and what events cause."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import aiohttp

from drill.installation import STRIPE_SECRET
from drill.scenario import Scenario, Scene
from postroom.dev.stripe_api import Fault
from postroom.dev.stripe_events import make_id, snapshot_event

ROLLED_SECRET: Final = "whsec_cm9sbGVkLXJvbGxlZC1yb2xsZWQtcm9sbGVk"  # noqa: S105  made up
LAST_ATTEMPT: Final = 11
WAIT_S: Final = 60.0
ASKED_S: Final = 0.5
"""A request that was sent a moment ago has arrived by then."""
RECONCILE_RUNS: Final = (
    "select requested_at is not null or worker is not null from postroom.job where name = 'stripe-reconcile'"
)
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


async def miss_events(scene: Scene) -> None:
    """Stripe had an event five minutes ago, and its webhook never came."""
    await _look_back(scene, "10 minutes")
    invoice = {"id": make_id("in"), "object": "invoice", "customer_email": "customer@example.com"}
    event = snapshot_event("invoice.paid", invoice, created=int(time.time()) - 300)
    scene.installation.stripe.add_event(event)


async def disable_endpoint(scene: Scene) -> None:
    for endpoint in tuple(scene.installation.stripe.endpoints.kept):
        scene.installation.stripe.endpoints.disable(endpoint)


async def pause_reconcile(scene: Scene) -> None:
    """As if the job had been paused two days ago, and nobody had asked for it since."""
    await _rest(scene)
    await _look_back(scene, "2 days")
    await scene.installation.pool.execute(
        "update postroom.job set paused = true where name = 'stripe-reconcile'"
    )


async def be_silent(scene: Scene) -> None:
    """As if no event had come for twenty hours, though there was one every minute for weeks."""
    await _rest(scene)
    await scene.installation.pool.execute(
        "update postroom.stripe_reconcile set watched_at = now() - interval '30 days',"
        " last_event_at = now() - interval '20 hours', usual_gap_s = 60"
    )


async def ask_for_reconcile(scene: Scene) -> None:
    scene.traffic.resting.discard("stripe-reconcile")


async def _look_back(scene: Scene, interval: str) -> None:
    """As if it had begun long ago, and not looked since."""
    async with asyncio.timeout(WAIT_S):
        while not await scene.installation.pool.fetchval(
            "update postroom.stripe_reconcile set began_at = now() - interval '30 days',"
            " cursor_at = now() - $1::text::interval returning 1",
            interval,
        ):
            await asyncio.sleep(POLL_S)


async def _rest(scene: Scene) -> None:
    """Nobody asks for the job any more, and the run that was asked for has ended."""
    scene.traffic.resting.add("stripe-reconcile")
    await asyncio.sleep(ASKED_S)
    async with asyncio.timeout(WAIT_S):
        while await scene.installation.pool.fetchval(RECONCILE_RUNS):
            await asyncio.sleep(POLL_S)


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
        also=frozenset(
            {"CircuitOpenLong", "StripeWebhookErrors", "DeliveriesFailing", "LimitReachedLong", "JobStale"}
        ),
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
    Scenario(
        name="webhook-lost",
        fault="an event's webhook never came",
        alerts=("StripeEventsMissed",),
        break_it=miss_events,
    ),
    Scenario(
        name="stripe-endpoint-disabled",
        fault="somebody disables the endpoint at Stripe",
        alerts=("StripeEndpointDisabled",),
        break_it=disable_endpoint,
        quick=True,
    ),
    Scenario(
        name="reconcile-paused",
        fault="the job that compares has been paused for two days",
        alerts=("StripeReconcileBehind",),
        break_it=pause_reconcile,
        mend_outside=ask_for_reconcile,
        also=frozenset({"JobStale"}),
        alone=True,
    ),
    Scenario(
        name="stripe-silent",
        fault="no event came for twenty hours",
        alerts=("StripeSilent",),
        break_it=be_silent,
        mend_outside=ask_for_reconcile,
        also=frozenset({"JobStale"}),
        alone=True,
    ),
)
