"""All objects that Stripe has go into the mirror, wherever it was stopped, and nothing newer is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.errors import Unavailable
from postroom.channels.stripe import load_progress
from postroom.channels.stripe.budget import RequestBudget
from postroom.channels.stripe.load import Load, types_to_load
from postroom.channels.stripe.load_progress import TypeLoad
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.worker.model import JobContext
from tests.fixtures.clock import DrivenClock
from tests.fixtures.stripe import Scene

ROUTES = '[[route]]\non = "*"\nexport = { dataset = "all" }\n'
MIRRORED = "select count(*) from postroom.stripe_object"


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    stand_in = StripeStandIn()
    await stand_in.start()
    for n in range(250):
        stand_in.put({"id": f"cus_{n}", "object": "customer", "name": f"Customer {n}", "livemode": False})
    stand_in.put({"id": "sub_ended", "object": "subscription", "status": "canceled", "livemode": False})
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path, stand_in: StripeStandIn) -> AsyncIterator[Scene]:
    scene = Scene(pool, tmp_path, stand_in=stand_in, routes=ROUTES)
    yield scene
    await scene.close()


@pytest.fixture
def load(scene: Scene) -> Load:
    return scene.load()


async def ask(pool: Pool, *types: str, again: bool = False) -> int:
    async with transaction(pool) as conn:
        return await load_progress.begin(conn, account="self", live=False, types=types, again=again)


async def run(load: Load) -> int:
    return await load.run(JobContext(once=True))


async def progress(pool: Pool) -> dict[str, TypeLoad]:
    async with pool.acquire() as conn:
        return {each.type: each for each in await load_progress.list_types(conn)}


async def test_everything_is_mirrored_and_nothing_is_caused(
    scene: Scene, stand_in: StripeStandIn, load: Load
) -> None:
    assert await run(load) == 0
    assert stand_in.requests == [], "nobody has asked for it"
    types = types_to_load(None)
    assert await ask(scene.pool, *types) == len(types) > 50
    assert await run(load) == 251
    found = await progress(scene.pool)
    assert {each.state for each in found.values()} == {"loaded"}
    assert (found["customer"].objects, found["subscription"].objects) == (250, 1)
    assert (await scene.mirror("cus_7"))["data"]["name"] == "Customer 7"
    assert (await scene.mirror("sub_ended"))["data"]["status"] == "canceled"
    assert await scene.pool.fetchval("select count(*) from postroom.message") == 0
    assert (await run(load), await ask(scene.pool, *types)) == (0, 0)
    assert await ask(scene.pool, "customer", again=True) == 1
    assert await run(load) == 250


async def test_only_what_the_mirror_has_to_keep() -> None:
    assert types_to_load(("customer", "subscription")) == ["customer", "subscription"]


async def test_what_an_event_wrote_meanwhile_is_not_overwritten(
    scene: Scene, stand_in: StripeStandIn, load: Load
) -> None:
    """The event's state stands for one that Stripe's list, read a moment before, has not yet."""
    now = datetime.now(UTC)
    newer = {"id": "cus_1", "object": "customer", "name": "Newer", "livemode": False}
    gone = {"id": "cus_2", "object": "customer", "livemode": False}
    old = {"id": "cus_3", "object": "customer", "name": "Old", "livemode": False}
    second = int(now.timestamp())
    await scene.process(snapshot_event("customer.updated", newer, created=second))
    await scene.process(snapshot_event("customer.deleted", gone, created=second))
    before = int((now - timedelta(days=1)).timestamp())
    await scene.process(snapshot_event("customer.created", old, created=before))
    await ask(scene.pool, "customer")
    await run(load)
    assert (await scene.mirror("cus_1"))["data"]["name"] == "Newer"
    assert (await scene.mirror("cus_2"))["deleted"]
    assert (await scene.mirror("cus_3"))["data"]["name"] == "Customer 3"
    later = {**newer, "name": "Later"}
    await scene.process(snapshot_event("customer.updated", later, created=second + 1))
    assert (await scene.mirror("cus_1"))["data"]["name"] == "Later"


async def test_it_goes_on_where_an_outage_stopped_it(
    scene: Scene, stand_in: StripeStandIn, load: Load
) -> None:
    await ask(scene.pool, "customer")
    stand_in.fail(Fault.SERVER_ERROR, after=1)
    with pytest.raises(Unavailable, match="HTTP 500"):
        await run(load)
    assert await scene.pool.fetchval(MIRRORED) == 100
    stand_in.recover()
    asked = len(stand_in.requests)
    assert await run(load) == 150
    assert len(stand_in.requests) - asked == 2
    assert (await progress(scene.pool))["customer"].objects == 250


async def test_a_run_that_ends_while_the_budget_is_short_has_not_failed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of the time of such a run are pauses, so its end falls into one."""
    monkeypatch.setattr("postroom.channels.stripe.budget.TURN_MAX_S", 0.0)
    monkeypatch.setattr("postroom.channels.stripe.load.RUN_S", 0.0)
    load = scene.load(DrivenClock())
    await ask(scene.pool, "customer")
    budget = RequestBudget(pool=scene.pool, clock=SystemClock(), via="self", per_second=10_000.0)
    assert await budget.take() is None
    await budget.slow_down(0.5)
    assert await run(load) == 250


async def test_where_its_place_is_gone_the_type_begins_anew(
    scene: Scene, stand_in: StripeStandIn, load: Load
) -> None:
    await ask(scene.pool, "customer")
    stand_in.fail(Fault.SERVER_ERROR, after=1)
    with pytest.raises(Unavailable):
        await run(load)
    stand_in.recover()
    stand_in.delete(str((await progress(scene.pool))["customer"].after))
    await run(load)
    assert (await progress(scene.pool))["customer"].objects == 249
    assert await scene.pool.fetchval(MIRRORED) == 250


async def test_a_type_that_the_key_may_not_list_leaves_the_others(
    scene: Scene, stand_in: StripeStandIn, load: Load
) -> None:
    from pydantic import SecretStr

    scene.settings.api_key = SecretStr("rk_test_scene")
    stand_in.rights["rk_test_scene"] = {"customer_read"}
    await ask(scene.pool, "charge", "customer")
    assert await run(load) == 250
    found = await progress(scene.pool)
    assert (found["charge"].state, found["customer"].state) == ("left out", "loaded")
    assert found["charge"].left_out == "Stripe's API answered HTTP 403 (the key lacks the right charge_read)"
    assert await scene.pool.fetchval("select count(*) from postroom.circuit where state <> 'closed'") == 0


async def test_a_list_inside_an_object_is_read_to_its_end(
    scene: Scene, stand_in: StripeStandIn, load: Load
) -> None:
    lines: list[dict[str, Any]] = [{"id": f"il_{n}", "object": "line_item"} for n in range(250)]
    url = "/v1/invoices/in_1/lines"
    cut = {"object": "list", "url": url, "data": lines[:10], "has_more": True}
    stand_in.put({"id": "in_1", "object": "invoice", "lines": cut, "livemode": False})
    stand_in.put({"object": "list", "url": url, "data": lines, "id": url}, path=url)
    await ask(scene.pool, "invoice")
    await run(load)
    mirrored = (await scene.mirror("in_1"))["data"]["lines"]
    assert (mirrored["data"], mirrored["has_more"]) == (lines, False)


async def test_what_postgresql_cannot_keep_stops_nothing(
    scene: Scene, stand_in: StripeStandIn, load: Load
) -> None:
    stand_in.put({"id": "prod_1", "object": "product", "name": "a\x00b\ud800", "livemode": False})
    await ask(scene.pool, "product")
    assert await run(load) == 1
    assert (await scene.mirror("prod_1"))["data"]["name"] == "a\ufffdb\ufffd"


async def test_two_that_load_the_same_move_its_place_once(
    scene: Scene, load: Load, stand_in: StripeStandIn
) -> None:
    await ask(scene.pool, "customer")
    first = (await progress(scene.pool))["customer"]
    async with transaction(scene.pool) as conn:
        assert await load_progress.move(conn, first, to="cus_9", objects=100, last=False)
        assert not await load_progress.move(conn, first, to="cus_8", objects=100, last=False)
    assert (await progress(scene.pool))["customer"].after == "cus_9"
