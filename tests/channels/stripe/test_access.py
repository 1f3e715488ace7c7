"""What one object of Stripe's says about access, in old and new shapes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from postroom.channels.stripe.access import Access, Kind, State, access_of
from postroom.channels.stripe.entitlements import SUMMARY, summary_of


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def subscription(**fields: Any) -> dict[str, Any]:
    """As API versions since 2025-03-31 have it: the items have periods."""
    item = {"price": {"product": "prod_1"}, "current_period_start": 100, "current_period_end": 200}
    return {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "items": {"object": "list", "data": [item]},
        **fields,
    }


def old(**fields: Any) -> dict[str, Any]:
    """As versions before that: the subscription has the period, and its items have plans."""
    items = {"object": "list", "data": [{"plan": {"id": "plan_1", "product": "prod_1"}}]}
    return subscription(items=items, current_period_start=100, current_period_end=200, **fields)


def read(object: dict[str, Any]) -> Access:
    found = access_of(object)
    assert found is not None
    return found


SHAPES = pytest.mark.parametrize("shape", [subscription, old])


@SHAPES
@pytest.mark.parametrize(
    ("status", "state", "until", "renews"),
    [
        ("active", State.ACTIVE, at(200), True),
        ("trialing", State.TRIAL, at(200), True),
        ("past_due", State.PAST_DUE, at(200), True),
        ("unpaid", State.UNPAID, None, False),
        ("paused", State.PAUSED, None, False),
        ("incomplete", State.INCOMPLETE, None, False),
        ("incomplete_expired", State.CANCELLED, None, False),
        ("canceled", State.CANCELLED, None, False),
        ("of tomorrow", State.UNKNOWN, None, False),
    ],
)
def test_every_status_in_both_shapes(
    shape: Any, status: str, state: State, until: datetime | None, renews: bool
) -> None:
    due = at(100) if state is State.PAST_DUE else None
    assert read(shape(status=status)) == Access(
        "cus_1", Kind.PRODUCT, state, {"prod_1": until}, renews=renews, due=due
    )


@SHAPES
def test_what_is_cancelled_for_the_end_of_its_period_ends_then(shape: Any) -> None:
    found = read(shape(cancel_at_period_end=True))
    assert (found.names, found.renews) == ({"prod_1": at(200)}, False)


@SHAPES
def test_what_is_cancelled_for_a_day_ends_on_that_day(shape: Any) -> None:
    found = read(shape(cancel_at=150, cancel_at_period_end=True))
    assert (found.names, found.renews) == ({"prod_1": at(150)}, False)


@SHAPES
def test_a_trial_lasts_as_long_as_it_says(shape: Any) -> None:
    assert read(shape(status="trialing", trial_end=170)).names == {"prod_1": at(170)}


@SHAPES
@pytest.mark.parametrize(
    ("behavior", "state", "until", "renews"),
    [
        ("void", State.PAUSED, at(190), False),
        ("keep_as_draft", State.ACTIVE, at(200), True),
        ("mark_uncollectible", State.ACTIVE, at(200), True),
    ],
)
def test_only_a_pause_that_voids_invoices_pauses_the_service(
    shape: Any, behavior: str, state: State, until: datetime, renews: bool
) -> None:
    found = read(shape(pause_collection={"behavior": behavior, "resumes_at": 190}))
    assert (found.state, found.names, found.renews) == (state, {"prod_1": until}, renews)


def test_what_has_ended_says_when() -> None:
    assert read(subscription(status="canceled", ended_at=120, canceled_at=110)).names == {"prod_1": at(120)}
    assert read(subscription(status="canceled", canceled_at=110)).names == {"prod_1": at(110)}


def test_each_item_is_a_product_with_a_period_of_its_own() -> None:
    data = [
        {"price": {"product": "prod_1"}, "current_period_end": 200},
        {"price": {"product": {"id": "prod_2", "object": "product"}}, "current_period_end": 300},
        {"price": {"product": "prod_1"}, "current_period_end": 250},
        {"plan": {"id": "gold"}, "current_period_end": 260},
        "no item",
    ]
    assert read(subscription(items={"data": data})).names == {
        "prod_1": at(250),
        "prod_2": at(300),
        "gold": at(260),
    }


def test_the_oldest_shape_has_one_plan_and_no_items() -> None:
    object = subscription(plan={"id": "gold"}, current_period_end=200)
    del object["items"]
    assert read(object).names == {"gold": at(200)}


def test_an_entitlement_is_a_feature_by_its_lookup_key() -> None:
    listed = {"data": [{"lookup_key": "sso"}, {"lookup_key": None, "feature": {"id": "feat_2"}}]}
    summary = summary_of(listed, customer="cus_1", livemode=False)
    assert read(summary) == Access("cus_1", Kind.FEATURE, State.ACTIVE, {"sso": None, "feat_2": None})
    assert read({"object": SUMMARY, "customer": "cus_1"}).names == {}


@pytest.mark.parametrize(
    "reference",
    [
        {"subscription": "sub_1"},
        {"parent": {"subscription_details": {"subscription": "sub_1"}}},
        {"subscription": {"id": "sub_1", "object": "subscription"}},
    ],
)
def test_an_invoice_that_is_owed_says_since_when(reference: dict[str, Any]) -> None:
    invoice = {"object": "invoice", "customer": "cus_1", "status": "open", "created": 90, **reference}
    owed = Access("cus_1", Kind.DEBT, State.PAST_DUE, {"sub_1": None}, renews=False, due=at(100))
    assert access_of(invoice) is None  # nobody has tried to collect it
    assert access_of({**invoice, "attempted": True, "status_transitions": {"finalized_at": 100}}) == owed
    assert access_of({**invoice, "due_date": 100}) == owed
    assert access_of({**invoice, "due_date": 100, "status": "paid"}) is None
    assert access_of({"object": "invoice", "customer": "cus_1", "status": "open", "due_date": 1}) is None


@pytest.mark.parametrize(
    "object",
    [
        {},
        {"object": "customer", "id": "cus_1"},
        {"object": "subscription", "customer": None},
        {"object": ["subscription"], "customer": "cus_1"},
    ],
)
def test_what_says_nothing_of_access_is_passed_over(object: dict[str, Any]) -> None:
    assert access_of(object) is None


@pytest.mark.parametrize("value", [True, "200", 10**30, None, {}, -(10**30)])
def test_a_moment_that_is_none_is_none(value: object) -> None:
    found = read(subscription(current_period_end=None, items={"data": [], "x": value}, cancel_at=value))
    assert found.renews
