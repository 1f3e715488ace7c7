"""Thin events are on a list of their own; a backfill reads both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.channels.stripe.backfill import Backfill
from postroom.channels.stripe.client import EventQuery
from postroom.channels.stripe.event import is_thin
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_events import snapshot_event, thin_event
from tests.fixtures.stripe import Scene, at

THIN = 250


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    stand_in = StripeStandIn()
    await stand_in.start()
    stand_in.add_event(snapshot_event("price.updated", {"id": "price_1", "object": "price"}, created=1_000))
    for n in range(THIN):
        stand_in.add_event(
            thin_event(
                "v2.core.account.updated" if n % 2 else "v2.core.account.created",
                object_id=f"acct_{n}",
                object_type="v2.core.account",
                url=f"/v2/core/accounts/acct_{n}",
                created=at(1_000 + n).isoformat(),
            )
        )
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path, stand_in: StripeStandIn) -> AsyncIterator[Scene]:
    scene = Scene(pool, tmp_path, stand_in=stand_in)
    yield scene
    await scene.close()


@pytest.fixture
def backfill(scene: Scene) -> Backfill:
    return Backfill(
        pool=scene.pool, apis=scene.apis, ingest=scene.ingest, circuits=scene.circuits, clock=SystemClock()
    )


async def test_both_lists_are_read_oldest_first(
    scene: Scene, stand_in: StripeStandIn, backfill: Backfill
) -> None:
    done = await backfill.run(EventQuery(since=at(0)))
    assert (done.listed, done.taken, done.left_out) == (THIN + 1, THIN + 1, None)
    rows = await scene.pool.fetch("select event_id from postroom.stripe_event where thin order by message_id")
    assert [row["event_id"] for row in rows] == [each["id"] for each in stand_in.events if is_thin(each)]
    assert (await backfill.run(EventQuery(since=at(0)))).missing == 0


async def test_what_the_webhook_brings_of_them_is_the_same(
    scene: Scene, stand_in: StripeStandIn, backfill: Backfill
) -> None:
    await backfill.run(EventQuery(since=at(0)), effects_since=at(0))
    assert (await scene.receive(stand_in.events[1])).duplicate


@pytest.mark.parametrize(
    ("wanted", "count"), [("v2.core.account.created", 125), ("v2.*", 250), ("price.*", 1)]
)
async def test_a_type_is_looked_for_on_its_own_list(
    stand_in: StripeStandIn, backfill: Backfill, wanted: str, count: int
) -> None:
    assert (await backfill.run(EventQuery(since=at(0), type=wanted))).taken == count
    assert len({request.path for request in stand_in.requests}) == 1


async def test_only_what_was_created_since_then_is_listed(backfill: Backfill) -> None:
    assert (await backfill.run(EventQuery(since=at(1_100)))).listed == THIN - 100


async def test_what_has_a_snapshot_event_beside_it_is_not_taken_twice(
    stand_in: StripeStandIn, backfill: Backfill
) -> None:
    for event in stand_in.events[1:]:
        event["snapshot_event"] = "evt_snapshot"
    assert (await backfill.run(EventQuery(since=at(0)))).taken == 1


async def test_a_key_that_may_not_list_them_is_told_and_the_others_come_in(
    stand_in: StripeStandIn, backfill: Backfill
) -> None:
    stand_in.fail(Fault.UNAUTHORIZED, after=1)
    done = await backfill.run(EventQuery(since=at(0)))
    assert (done.taken, done.left_out) == (1, "Stripe refused POSTROOM_STRIPE__API_KEY (HTTP 401)")


async def test_of_a_connected_account_they_are_its_own(scene: Scene, backfill: Backfill) -> None:
    await backfill.run(EventQuery(since=at(0), account="acct_1"))
    accounts = await scene.pool.fetch("select distinct account from postroom.stripe_event")
    assert [row["account"] for row in accounts] == ["acct_1"]
