"""An invoice of 250 lines has 250 lines, though Stripe's event has ten of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postroom.base.db import Pool
from postroom.channels.stripe import sublists
from postroom.channels.stripe.sublists import cut_lists, extend
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.outbox.model import Deferred, RetryLater, Settled
from tests.fixtures.stripe import Scene

ROUTES = """
[[route]]
on = "invoice.paid"
export = { dataset = "paid", record = { lines = "{{ object.lines.data | length }}" } }
"""
URL = "/v1/invoices/in_1/lines"


def lines(count: int, *, whole: int) -> dict[str, Any]:
    data = [{"id": f"il_{n}", "object": "line_item"} for n in range(count)]
    return {"object": "list", "url": URL, "data": data, "has_more": count < whole}


def invoice(count: int = 10, whole: int = 250) -> dict[str, Any]:
    return {
        "id": "in_1",
        "object": "invoice",
        "nested": [{"lines": None}],
        "lines": lines(count, whole=whole),
    }


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    stand_in = StripeStandIn()
    stand_in.put(lines(250, whole=250), path=URL)
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path, stand_in: StripeStandIn) -> AsyncIterator[Scene]:
    scene = Scene(pool, tmp_path, routes=ROUTES, stand_in=stand_in)
    yield scene
    await scene.close()


async def count_mirrored(scene: Scene) -> int:
    return len((await scene.mirror("in_1"))["data"]["lines"]["data"])


@pytest.mark.parametrize("kind", ["invoice.paid", "invoice.updated"])
async def test_routes_and_the_mirror_have_all_of_it(scene: Scene, stand_in: StripeStandIn, kind: str) -> None:
    assert await scene.process(snapshot_event(kind, invoice(), account="acct_1")) == [Settled()]
    assert [each["record"]["lines"] for each in await scene.sent()] == (
        [250] if kind == "invoice.paid" else []
    )
    assert await count_mirrored(scene) == 250
    assert [(request.path, request.account) for request in stand_in.requests] == [(URL, "acct_1")] * 3


async def test_what_is_whole_asks_nothing(scene: Scene, stand_in: StripeStandIn) -> None:
    await scene.process(snapshot_event("invoice.paid", invoice(10, whole=10)))
    assert stand_in.requests == []


async def test_what_was_fetched_is_completed_as_well(
    pool: Pool, tmp_path: Path, stand_in: StripeStandIn
) -> None:
    scene = Scene(pool, tmp_path, routes=ROUTES.replace("export", "fetch = true\nexport"), stand_in=stand_in)
    stand_in.put(invoice())
    await scene.process(snapshot_event("invoice.paid", invoice()))
    assert (await scene.sent())[0]["record"]["lines"] == 250
    await scene.close()


async def test_a_key_that_may_not_read_it_leaves_it_cut(scene: Scene, stand_in: StripeStandIn) -> None:
    stand_in.fail(Fault.NO_ACCESS)
    assert await scene.process(snapshot_event("invoice.paid", invoice())) == [Settled()]
    assert (await scene.sent())[0]["record"]["lines"] == 10
    assert (await scene.mirror("in_1"))["data"]["lines"]["has_more"] is True


async def test_an_outage_is_waited_for(scene: Scene, stand_in: StripeStandIn) -> None:
    stand_in.fail(Fault.SERVER_ERROR, after=1)
    [answer] = await scene.process(snapshot_event("invoice.paid", invoice()))
    assert isinstance(answer, RetryLater | Deferred)
    assert await scene.sent() == []


async def test_without_a_key_it_is_as_it_came(pool: Pool, tmp_path: Path) -> None:
    scene = Scene(pool, tmp_path, routes=ROUTES)
    assert await scene.process(snapshot_event("invoice.paid", invoice())) == [Settled()]
    assert (await scene.sent())[0]["record"]["lines"] == 10
    await scene.close()


async def test_there_is_an_end(scene: Scene, stand_in: StripeStandIn) -> None:
    stand_in.put(lines(1_500, whole=1_500), path=URL)
    await scene.process(snapshot_event("invoice.paid", invoice(10, whole=1_500)))
    assert (await scene.sent())[0]["record"]["lines"] == sublists.ITEMS_MAX
    assert (await scene.mirror("in_1"))["data"]["lines"]["has_more"] is True


def test_a_list_that_changes_while_it_is_read_has_no_item_twice_and_ends() -> None:
    [cut] = cut_lists(invoice())
    extend(cut, lines(12, whole=250))
    assert [item["id"] for item in cut["data"]] == [f"il_{n}" for n in range(12)]
    extend(cut, lines(12, whole=250))
    assert cut["has_more"] is False


def test_a_list_whose_address_is_elsewhere_is_left_alone() -> None:
    strange = invoice()
    strange["lines"]["url"] = "https://example.com/v1/invoices/in_1/lines"
    assert cut_lists(strange) == []
