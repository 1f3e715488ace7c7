"""Stripe loses one webhook of a hundred, then its endpoint is disabled: nothing drifts, and it is told."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from postroom.base import json
from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.channels.stripe import load_progress
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.health.conditions import Growth, conditions
from postroom.metrics.gauges import read_gauges
from postroom.worker.model import JobContext
from tests.fixtures.clock import DrivenClock
from tests.fixtures.stripe import Scene

URL = "https://pay.example.com/v1/stripe/webhook"
ROUTES = '[[route]]\non = "customer.updated"\nexport = { dataset = "customers" }\n'
EVENTS = 600
NOW = datetime.fromtimestamp(int(datetime.now(UTC).timestamp()), UTC)
SEED = 20_260_101


def change(stand_in: StripeStandIn, n: int, at: datetime) -> dict[str, Any]:
    """Stripe changes one of fifty customers, and says so."""
    customer = {"id": f"cus_{n % 50}", "object": "customer", "balance": n, "livemode": False}
    event = snapshot_event("customer.updated", customer, created=int(at.timestamp()), event_id=f"evt_{n}")
    stand_in.put(customer)
    stand_in.add_event(event)
    return event


async def test_the_mirror_equals_stripe_and_somebody_is_told_within_ten_minutes(
    pool: Pool, tmp_path: Path, stand_in: StripeStandIn
) -> None:
    clock, lost = DrivenClock(NOW), random.Random(SEED)
    scene = Scene(pool, tmp_path, stand_in=stand_in, routes=ROUTES)
    scene.settings.webhook_url = URL
    endpoint = stand_in.endpoints.add(URL)
    reconcile = scene.reconcile(clock)
    assert await reconcile.run(JobContext()) == 0

    missing = 0
    for n in range(EVENTS):
        event = change(stand_in, n, NOW + timedelta(seconds=n // 2))
        if lost.random() < 0.01:
            missing += 1
        else:
            await scene.receive(event)
    assert missing > 0
    stand_in.endpoints.disable(endpoint)
    for n in range(EVENTS, EVENTS + 50):
        change(stand_in, n, NOW + timedelta(seconds=n // 2))
    await scene.work()

    clock.advance(300)
    taken = await reconcile.run(JobContext())
    async with pool.acquire() as conn:
        found = conditions(await read_gauges(conn), now=datetime.now(UTC), growth=Growth(), receivers={})
    told = {each.alert: each.command for each in found if "Stripe" in each.alert}
    assert told == {
        "StripeEndpointDisabled": "postroom stripe setup",
        "StripeEventsMissed": "postroom stripe setup --dry-run",
    }
    clock.advance(300)
    taken += await reconcile.run(JobContext())
    assert taken == missing + 50, f"seed {SEED}"
    await scene.work()
    rows = await pool.fetch("select object_id, data #>> '{}' as data from postroom.stripe_object")
    assert {row["object_id"]: json.decode(row["data"]) for row in rows} == stand_in.objects
    assert len(await scene.sent()) == EVENTS + 50
    await scene.close()


async def test_three_processes_that_reconcile_and_load_stay_within_one_budget(
    pool: Pool, tmp_path: Path, stand_in: StripeStandIn
) -> None:
    """Each process has its own budget, and all of them ask at once."""
    per_second, clock = 20.0, SystemClock()
    for n in range(2_000):
        stand_in.put({"id": f"prod_{n}", "object": "product", "livemode": False})
    scenes = []
    for n in range(3):
        folder = tmp_path / str(n)
        folder.mkdir()
        scenes.append(Scene(pool, folder, stand_in=stand_in, routes=ROUTES, per_second=per_second))
    driven = DrivenClock(NOW)
    reconciles = [scene.reconcile(driven) for scene in scenes]
    for n in range(1_500):
        change(stand_in, n, NOW + timedelta(seconds=n))
    await reconciles[0].run(JobContext())
    driven.advance(1_800)
    load = scenes[2].load()
    async with pool.acquire() as conn:
        await load_progress.begin(conn, account="self", live=False, types=["product"], again=False)
    before, began_s = len(stand_in.requests), clock.monotonic()
    await asyncio.gather(
        reconciles[0].run(JobContext()), reconciles[1].run(JobContext()), load.run(JobContext())
    )
    took_s, asked = clock.monotonic() - began_s, len(stand_in.requests) - before
    assert asked >= 20 + 15
    assert took_s >= (asked - per_second * 0.5 - per_second * 0.2) / per_second
    assert await pool.fetchval("select count(*) from postroom.stripe_event") == 1_500
    assert await pool.fetchval("select count(*) from postroom.stripe_object where type = 'product'") == 2_000
    for scene in scenes:
        await scene.close()
