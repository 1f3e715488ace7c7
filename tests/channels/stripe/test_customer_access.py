"""`stripe.customer_access` says what the mirror says, whatever order events come in."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postroom.base.db import Pool, transaction
from postroom.channels.stripe.access_store import AccessRow, list_access, set_grace
from postroom.channels.stripe.entitlements import SUMMARY
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from tests.fixtures.stripe import Scene

DAY = 86_400
NOW = int(time.time()) // DAY * DAY
LATER = NOW + 20 * DAY
BEGAN = NOW - 5 * DAY


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def subscription(
    subscription_id: str = "sub_1", *, products: tuple[str, ...] = ("prod_1",), **fields: Any
) -> Any:
    period = {"current_period_start": BEGAN, "current_period_end": LATER}
    return {
        "id": subscription_id,
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "items": {"object": "list", "data": [{"price": {"product": each}, **period} for each in products]},
        **fields,
    }


def changed(object: dict[str, Any], created: int, kind: str = "updated") -> dict[str, Any]:
    return snapshot_event(f"customer.subscription.{kind}", object, created=created)


def summary(*features: str, has_more: bool = False) -> dict[str, Any]:
    data = [{"id": f"ent_{each}", "lookup_key": each} for each in features]
    listed = {"object": "list", "data": data, "has_more": has_more, "url": "/v1/customer/cus_1/entitlements"}
    return {"object": SUMMARY, "customer": "cus_1", "entitlements": listed}


def entitled(object: dict[str, Any], created: int) -> dict[str, Any]:
    return snapshot_event(
        f"{SUMMARY}.updated".replace("entitlements", "customer.entitlements"), object, created=created
    )


def invoice(invoice_id: str, since: int, **fields: Any) -> dict[str, Any]:
    parent = {"subscription_details": {"subscription": "sub_1"}}
    given = {"customer": "cus_1", "status": "open", "attempted": True, "created": since, "parent": parent}
    return {"id": invoice_id, "object": "invoice", **given, **fields}


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(pool, tmp_path)
    yield scene
    await scene.close()


async def access(pool: Pool, customer: str = "cus_1") -> list[AccessRow]:
    async with pool.acquire() as conn:
        return await list_access(conn, customer)


async def told(pool: Pool) -> dict[str, tuple[bool, str, datetime | None, bool]]:
    return {row.name: (row.active, row.why, row.until, row.renews) for row in await access(pool)}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (True, "active", at(LATER), True)),
        ({"status": "trialing", "trial_end": LATER - 5}, (True, "trial", at(LATER - 5), True)),
        ({"status": "past_due"}, (True, "grace", at(BEGAN + 7 * DAY), False)),
        ({"status": "unpaid"}, (False, "unpaid", None, False)),
        ({"status": "paused"}, (False, "paused", None, False)),
        ({"status": "incomplete"}, (False, "incomplete", None, False)),
        ({"status": "incomplete_expired"}, (False, "cancelled", None, False)),
        ({"status": "canceled", "ended_at": NOW}, (False, "cancelled", at(NOW), False)),
        ({"status": "to come"}, (False, "unknown", None, False)),
        ({"cancel_at_period_end": True}, (True, "active", at(LATER), False)),
        ({"cancel_at": NOW + DAY}, (True, "active", at(NOW + DAY), False)),
        ({"cancel_at": NOW - DAY}, (False, "cancelled", at(NOW - DAY), False)),
        ({"status": "past_due", "cancel_at": NOW + DAY}, (True, "grace", at(NOW + DAY), False)),
        ({"status": "past_due", "cancel_at": LATER}, (True, "grace", at(BEGAN + 7 * DAY), False)),
        (
            {"pause_collection": {"behavior": "void", "resumes_at": LATER}},
            (False, "paused", at(LATER), False),
        ),
        ({"pause_collection": {"behavior": "keep_as_draft"}}, (True, "active", at(LATER), True)),
    ],
)
async def test_what_each_state_means_now(
    scene: Scene, fields: dict[str, Any], expected: tuple[bool, str, datetime | None, bool]
) -> None:
    await scene.process(changed(subscription(**fields), NOW))
    [row] = await access(scene.pool)
    assert (row.active, row.why, row.until, row.renews) == expected
    assert (row.account, row.kind, row.name, row.subscription) == ("self", "product", "prod_1", "sub_1")
    assert (row.as_of, row.livemode) == (at(NOW), False)


async def test_grace_is_a_setting_and_ends_by_the_clock(scene: Scene) -> None:
    await scene.process(changed(subscription(status="past_due"), NOW))
    async with transaction(scene.pool) as conn:
        await set_grace(conn, timedelta(days=4))
    assert await told(scene.pool) == {"prod_1": (False, "past_due", at(BEGAN + 4 * DAY), False)}
    async with transaction(scene.pool) as conn:
        await set_grace(conn, timedelta(days=8))
    assert await told(scene.pool) == {"prod_1": (True, "grace", at(BEGAN + 8 * DAY), False)}


async def test_grace_counts_from_the_oldest_debt_that_is_known(scene: Scene) -> None:
    """A new period does not renew it, and one seat more in the midst of a year has all of it."""
    await scene.process(changed(subscription(status="past_due"), NOW))
    await scene.process(snapshot_event("invoice.payment_failed", invoice("in_2", NOW - DAY), created=NOW))
    assert (await told(scene.pool))["prod_1"][2] == at(NOW + 6 * DAY)
    await scene.process(snapshot_event("invoice.payment_failed", invoice("in_1", NOW - 9 * DAY), created=NOW))
    assert await told(scene.pool) == {"prod_1": (False, "past_due", at(NOW - 2 * DAY), False)}
    paid = invoice("in_1", NOW - 9 * DAY, status="paid")
    await scene.process(snapshot_event("invoice.paid", paid, created=NOW + 1))
    assert (await told(scene.pool))["prod_1"][2] == at(NOW + 6 * DAY)


async def test_a_product_that_is_exchanged_moves(scene: Scene) -> None:
    await scene.process(changed(subscription(products=("prod_1", "prod_2")), NOW, "created"))
    assert set(await told(scene.pool)) == {"prod_1", "prod_2"}
    await scene.process(changed(subscription(products=("prod_2", "prod_3")), NOW + 1))
    assert set(await told(scene.pool)) == {"prod_2", "prod_3"}


async def test_of_several_subscriptions_the_best_one_wins(scene: Scene) -> None:
    ended = subscription("sub_1", status="canceled", ended_at=NOW)
    ending = subscription("sub_2", cancel_at=NOW + DAY)
    late = subscription("sub_3", status="past_due")
    await scene.process(changed(ended, NOW + 3, "deleted"))
    assert (await access(scene.pool))[0].subscription == "sub_1"
    await scene.process(changed(late, NOW))
    assert (await access(scene.pool))[0].why == "grace"
    await scene.process(changed(ending, NOW))
    assert [(row.subscription, row.why) for row in await access(scene.pool)] == [("sub_2", "active")]
    await scene.process(changed(subscription("sub_4"), NOW))
    assert [(row.subscription, row.renews) for row in await access(scene.pool)] == [("sub_4", True)]


async def test_whoever_is_deleted_has_nothing(scene: Scene) -> None:
    customer = {"id": "cus_1", "object": "customer"}
    await scene.process(changed(subscription(), NOW))
    await scene.process(entitled(summary("sso"), NOW))
    await scene.process(snapshot_event("customer.created", customer, created=BEGAN))
    assert {row.active for row in await access(scene.pool)} == {True}
    await scene.process(snapshot_event("customer.deleted", customer, created=NOW + 5))
    assert {(row.active, row.why, row.as_of) for row in await access(scene.pool)} == {
        (False, "cancelled", at(NOW + 5))
    }


async def test_features_come_and_go_with_the_summary(scene: Scene) -> None:
    await scene.process(entitled(summary("sso", "audit"), NOW))
    assert await told(scene.pool) == dict.fromkeys(("sso", "audit"), (True, "active", None, True))
    await scene.process(entitled(summary("audit"), NOW + 2))
    await scene.process(entitled(summary("sso"), NOW + 1))  # late
    assert [(row.kind, row.name, row.subscription) for row in await access(scene.pool)] == [
        ("feature", "audit", None)
    ]


async def test_accounts_are_kept_apart(scene: Scene) -> None:
    await scene.process(changed(subscription(), NOW))
    other = snapshot_event("customer.subscription.updated", subscription(), account="acct_1", created=NOW)
    await scene.process(other)
    assert [row.account for row in await access(scene.pool)] == ["acct_1", "self"]
    assert await access(scene.pool, "cus_2") == []


async def test_features_beyond_the_first_ten_are_fetched(pool: Pool, tmp_path: Path) -> None:
    stand_in = StripeStandIn()
    await stand_in.start()
    scene = Scene(pool, tmp_path, stand_in=stand_in)
    features = [f"f{n}" for n in range(120)]
    stand_in.put({"id": "cus_1", "object": "customer"})
    listed = {"object": "list", "data": [{"id": f"ent_{each}", "lookup_key": each} for each in features]}
    stand_in.put(listed, path="/v1/entitlements/active_entitlements?customer=cus_1")
    await scene.process(entitled(summary(*features[:10], has_more=True), NOW))
    assert sorted(await told(pool)) == sorted(features)
    await scene.close()
    await stand_in.stop()
