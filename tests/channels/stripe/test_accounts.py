"""Secret, account, mode and key belong together: what one account has signed is processed with its key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.errors import InvalidInput
from postroom.base.stripe_settings import StripeAccount
from postroom.channels.stripe.backfill import Backfill
from postroom.channels.stripe.client import EventQuery
from postroom.channels.stripe.event import join_account, split_account
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.outbox.model import Deferred, RetryLater, Settled
from tests.fixtures.stripe import SECRET, Scene, at

EU_SECRET = "whsec_" + "of_the_account_in_europe"
EU_KEY = "sk_live_europe"
ROUTES = """
[[route]]
on = "invoice.paid"
fetch = true
export = { dataset = "paid", record = { id = "{{ object.id }}" } }
"""
INVOICE = {"id": "in_1", "object": "invoice"}


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    stand_in = StripeStandIn()
    await stand_in.start()
    stand_in.put(INVOICE)
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path, stand_in: StripeStandIn) -> AsyncIterator[Scene]:
    """`self` is of test mode, `eu` is live."""
    eu = StripeAccount(webhook_secrets=(SecretStr(EU_SECRET),), api_key=SecretStr(EU_KEY))
    scene = Scene(pool, tmp_path, routes=ROUTES, stand_in=stand_in, accounts={"eu": eu})
    yield scene
    await scene.close()


@pytest.mark.parametrize("connected", [None, "acct_1"])
async def test_an_event_is_fetched_with_the_key_of_the_account_that_signed_it(
    scene: Scene, stand_in: StripeStandIn, connected: str | None
) -> None:
    event = snapshot_event("invoice.paid", INVOICE, livemode=True, account=connected)
    await scene.receive(event, EU_SECRET)
    await scene.receive(event | {"livemode": False}, SECRET)
    assert await scene.work() == [Settled()] * 2
    asked = [(request.key, request.account) for request in stand_in.requests]
    assert asked == [(EU_KEY, connected), ("sk_test_scene", connected)]
    assert len(await scene.sent()) == 2
    of = [join_account(via, connected) for via in ("eu", "self")]
    for table in ("stripe_event", "stripe_object"):
        rows = await scene.pool.fetch(f"select account from postroom.{table}")
        assert sorted(row["account"] for row in rows) == sorted(of), "neither is taken for the other"


async def test_each_account_is_of_one_mode(scene: Scene) -> None:
    for livemode, secret in ((False, EU_SECRET), (True, SECRET)):
        await scene.receive(snapshot_event("invoice.paid", INVOICE, livemode=livemode), secret)
    await scene.work()
    rows = await scene.pool.fetch("select account, state from postroom.stripe_event order by account")
    assert [tuple(row) for row in rows] == [("eu", "quarantined"), ("self", "quarantined")]


COUPON = {"id": "SUMMER", "object": "coupon"}


async def test_test_and_live_coupons_of_one_id_stand_side_by_side(scene: Scene) -> None:
    for livemode, secret in ((True, EU_SECRET), (False, SECRET)):
        coupon = {**COUPON, "livemode": livemode}
        await scene.receive(snapshot_event("coupon.updated", coupon, livemode=livemode), secret)
    await scene.work()
    rows = await scene.pool.fetch(
        "select account, livemode, data ->> 'livemode' from postroom.stripe_object order by account"
    )
    assert [tuple(row) for row in rows] == [("eu", True, "true"), ("self", False, "false")]


async def test_an_account_that_goes_live_leaves_its_test_objects_behind(scene: Scene) -> None:
    test, live = ({**COUPON, "name": name} for name in ("test", "live"))
    await scene.process(snapshot_event("coupon.updated", test, created=200))
    scene.settings.livemode = True
    await scene.process(snapshot_event("coupon.updated", live, created=100, livemode=True))
    assert (await scene.mirror("SUMMER"))["data"]["name"] == "live"


async def test_a_key_that_is_refused_stops_its_own_account_only(
    scene: Scene, stand_in: StripeStandIn
) -> None:
    stand_in.refused.add(EU_KEY)
    await scene.receive(snapshot_event("invoice.paid", INVOICE, livemode=True), EU_SECRET)
    [answer] = await scene.work()
    assert isinstance(answer, Deferred)
    assert answer.reason == "Stripe refused POSTROOM_STRIPE__ACCOUNTS__EU__API_KEY (HTTP 401)"
    assert await scene.process(snapshot_event("invoice.paid", INVOICE)) == [Settled()]


async def test_an_account_that_left_the_settings_is_named(scene: Scene) -> None:
    await scene.receive(snapshot_event("invoice.paid", INVOICE, livemode=True), EU_SECRET)
    del scene.settings.accounts["eu"]
    [answer] = await scene.work()
    assert isinstance(answer, RetryLater)
    assert answer.reason == "POSTROOM_STRIPE__ACCOUNTS__EU__… is not set any more"


async def test_backfill_lists_with_the_key_of_the_account(scene: Scene, stand_in: StripeStandIn) -> None:
    stand_in.add_event(snapshot_event("invoice.paid", INVOICE, created=1, livemode=True))
    backfill = Backfill(
        pool=scene.pool, apis=scene.apis, ingest=scene.ingest, circuits=scene.circuits, clock=SystemClock()
    )
    for account in ("eu", "eu/acct_1"):
        via, connected = split_account(account)
        done = await backfill.run(EventQuery(since=at(0), via=via, account=connected))
        assert done.taken == 1
        assert await scene.pool.fetchval("select 1 from postroom.stripe_event where account = $1", account)
    assert {request.key for request in stand_in.requests} == {EU_KEY}
    with pytest.raises(InvalidInput, match="the settings have no account us"):
        await backfill.run(EventQuery(since=at(0), via="us"))


@pytest.mark.parametrize("key", ["self", "acct_1", "eu", "eu/acct_1", "acct_1/acct_2", "eu/acct_1/acct_2"])
def test_an_account_in_one_text_is_read_as_it_was_written(key: str) -> None:
    assert join_account(*split_account(key)) == key
