"""Whatever order events come in, and however often: access is that of the last state of everything."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.base.db import open_pool
from postroom.channels.stripe.access_store import AccessRow, list_access
from postroom.channels.stripe.entitlements import LIST, SUMMARY
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from tests.channels.stripe.test_customer_access import BEGAN, DAY, LATER, NOW, entitled, invoice, summary
from tests.fixtures.stripe import Scene

STATUSES = (
    "active",
    "trialing",
    "past_due",
    "unpaid",
    "paused",
    "incomplete",
    "incomplete_expired",
    "canceled",
)
MORE: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"cancel_at_period_end": True},
    {"cancel_at": NOW - DAY},
    {"trial_end": NOW + DAY},
    {"pause_collection": {"behavior": "void", "resumes_at": LATER}},
    {"ended_at": NOW, "canceled_at": NOW - DAY},
)
PRODUCTS = st.lists(st.sampled_from(("prod_1", "prod_2", "prod_3")), min_size=1, max_size=2)
numbers = itertools.count(1)


@dataclass(frozen=True)
class Told:
    """An event of a history: the state of one object, at a second."""

    object: dict[str, Any]
    second: int
    kind: str

    def event(self, customer: str) -> dict[str, Any]:
        """With ids of this customer's own, so that histories share a database."""
        own = _of(customer, self.object)
        if own["object"] == SUMMARY:
            return entitled(own, self.second)
        return snapshot_event(f"{_name(own)}.{self.kind}", own, created=self.second)


def _name(object: dict[str, Any]) -> str:
    return f"customer.{object['object']}" if object["object"] == "subscription" else str(object["object"])


def _of(customer: str, value: Any) -> Any:
    match value:
        case dict():
            return {name: _of(customer, each) for name, each in value.items()}
        case list():
            return [_of(customer, each) for each in value]
        case str() if value.startswith(("sub_", "in_", "cus_")):
            return f"{value.partition('_')[0]}_{customer}_{value.partition('_')[2]}"
    return value


@st.composite
def subscriptions(draw: st.DrawFn, subscription_id: str, seconds: st.SearchStrategy[int]) -> list[Told]:
    """The states that one goes through: in the old shape, in the new one, ended or not."""
    life = draw(st.lists(st.tuples(st.sampled_from(STATUSES), st.sampled_from(MORE)), min_size=1, max_size=4))
    at = sorted(draw(st.lists(seconds, min_size=len(life), max_size=len(life))))
    told = []
    for nth, (status, more) in enumerate(life):
        period = {"current_period_start": BEGAN, "current_period_end": LATER}
        old, products = draw(st.booleans()), draw(PRODUCTS)
        what, inside, outside = ("plan", {}, period) if old else ("price", period, {})
        items = {"object": "list", "data": [{what: {"product": each}, **inside} for each in products]}
        object = {"id": subscription_id, "object": "subscription", "customer": "cus_1", "status": status}
        ended = status == "canceled" and nth == len(life) - 1
        kind = "deleted" if ended else "updated" if nth else "created"
        told.append(Told({**object, "items": items, **outside, **more}, at[nth], kind))
    return told


@st.composite
def histories(draw: st.DrawFn, seconds: st.SearchStrategy[int]) -> list[list[Told]]:
    """One list for each object of a customer, in the order in which it happened."""
    lives = [draw(subscriptions(f"sub_{n}", seconds)) for n in range(1, draw(st.integers(1, 3)) + 1)]
    features = draw(st.lists(st.lists(st.sampled_from(("sso", "audit")), unique=True), max_size=3))
    at = sorted(draw(st.lists(seconds, min_size=len(features), max_size=len(features))))
    lives.append([Told(summary(*each), when, "updated") for each, when in zip(features, at, strict=True)])
    if draw(st.booleans()):
        owed = invoice("in_1", NOW - draw(st.integers(1, 9)) * DAY)
        paid = {**owed, "status": "paid"}
        states = [owed, *([paid] if draw(st.booleans()) else [])]
        when = sorted(draw(st.lists(seconds, min_size=len(states), max_size=len(states))))
        lives.append([Told(each, at, "updated") for each, at in zip(states, when, strict=True)])
    if draw(st.booleans()):
        customer = {"id": "cus_1", "object": "customer"}
        lives.append([Told(customer, NOW - 60, "created"), Told(customer, NOW, "deleted")])
    return [life for life in lives if life]


def plain(customer: str, rows: Sequence[AccessRow], *, moments: bool) -> list[AccessRow]:
    """Without what differs: the ids of this customer, and when Stripe was asked."""
    return [
        replace(
            row,
            subscription=row.subscription and row.subscription.replace(f"{customer}_", ""),
            as_of=row.as_of if moments else row.as_of.min,
        )
        for row in rows
    ]


async def after(scene: Scene, customer: str, batches: Sequence[Sequence[Told]]) -> list[AccessRow]:
    """What this customer has once these have come in, batch after batch."""
    for batch in batches:
        events = {each.second: each.event(customer) for each in batch}
        for told in batch:
            await scene.receive(told.event(customer))
        for event in events.values():
            await scene.receive(event)  # and once more under the very same id
            await scene.receive(event)
        await scene.work()
    async with scene.pool.acquire() as conn:
        return await list_access(conn, f"cus_{customer}_1")


async def check(
    scene: Scene, stand_in: StripeStandIn | None, history: list[list[Told]], batches: list[list[Told]]
) -> None:
    straight, shuffled = f"s{next(numbers)}", f"m{next(numbers)}"
    for customer in (straight, shuffled):
        if stand_in is not None:
            _put(stand_in, customer, [life[-1] for life in history])
    expected = await after(scene, straight, [[life[-1]] for life in history])
    found = await after(scene, shuffled, batches)
    moments = stand_in is None
    assert plain(shuffled, found, moments=moments) == plain(straight, expected, moments=moments)


def _put(stand_in: StripeStandIn, customer: str, last: Sequence[Told]) -> None:
    stand_in.put(_of(customer, {"id": "cus_1", "object": "customer"}))
    for told in last:
        own = _of(customer, told.object)
        if own["object"] == SUMMARY:
            stand_in.put(own["entitlements"], path=f"{LIST}?customer={own['customer']}")
        elif own["object"] == "customer":
            stand_in.put({**own, "deleted": True})
        else:
            stand_in.put(own)


@pytest.mark.parametrize("ties", [False, True], ids=["of different seconds", "of the same seconds"])
def test_access_is_that_of_the_last_state_of_everything(dsn: str, tmp_path: Path, ties: bool) -> None:
    """Events of one second are told apart by Stripe alone, so one that answers is asked then."""
    seconds = st.integers(NOW - 2, NOW) if ties else st.integers(NOW - 10_000, NOW)
    drawn = histories(seconds)
    if not ties:
        drawn = drawn.filter(lambda lives: all(len({t.second for t in life}) == len(life) for life in lives))
    with asyncio.Runner() as runner:
        pool = runner.run(open_pool(dsn))
        stand_in = StripeStandIn() if ties else None
        if stand_in is not None:
            runner.run(stand_in.start())
        scene = Scene(pool, tmp_path, stand_in=stand_in)

        @settings(max_examples=25)
        @given(st.data())
        def holds(data: st.DataObject) -> None:
            history = data.draw(drawn)
            events = [told for life in history for told in life]
            order = data.draw(
                st.permutations(events + data.draw(st.lists(st.sampled_from(events), max_size=3)))
            )
            size = data.draw(st.integers(1, len(order)))
            batches = [order[n : n + size] for n in range(0, len(order), size)]
            runner.run(check(scene, stand_in, history, batches))

        try:
            holds()
        finally:
            runner.run(scene.close())
            if stand_in is not None:
                runner.run(stand_in.stop())
            runner.run(pool.close())
