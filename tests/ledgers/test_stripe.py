"""An account that several ledgers share: each event is of one of them, also where its owner moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.errors import TenantElsewhere
from postroom.channels.stripe import drift, load_progress
from postroom.channels.stripe.drift import Drift
from postroom.channels.stripe.reconcile import Reconcile
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.ledgers.mover import StillOpen
from postroom.ledgers.store import DatabaseLedger
from postroom.worker.model import JobContext
from tests.fixtures.clock import DrivenClock
from tests.fixtures.stripe import Scene
from tests.ledgers.conftest import end_all, mover

NOW = datetime.fromtimestamp(int(datetime.now(UTC).timestamp()), UTC)
MOVED = "cus_moved"
ROUTES = """
[[route]]
on = "customer.updated"
when = "{{ object.name }}"
key = "{{ object.id }}:{{ object.name }}"
export = { dataset = "names", record = { name = "{{ object.name }}" } }
"""
Scenes = Mapping[str, Scene]
Stores = Mapping[str, DatabaseLedger]


@pytest.fixture
async def scenes(
    pools: Mapping[str, Pool], tmp_path: Path, stand_in: StripeStandIn
) -> AsyncIterator[dict[str, Scene]]:
    """l1 and l2 with one account, whose webhooks all have the same secret."""
    scenes = {}
    for name in ("l1", "l2"):
        (tmp_path / name).mkdir()
        scenes[name] = Scene(pools[name], tmp_path / name, stand_in=stand_in, ledger=name, routes=ROUTES)
    yield scenes
    for scene in scenes.values():
        await scene.close()


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock(NOW)


@pytest.fixture
async def compared(directory: None, scenes: Scenes, clock: DrivenClock) -> dict[str, Reconcile]:
    """The comparison of each ledger with Stripe's list, which began `NOW`."""
    found = {name: scene.reconcile(clock) for name, scene in scenes.items()}
    for reconcile in found.values():
        assert await run(reconcile) == 0
    return found


async def run(reconcile: Reconcile) -> int:
    return await reconcile.run(JobContext(once=True))


def updated(customer: str, n: int, at: datetime = NOW, name: str = "") -> dict[str, Any]:
    body = {"id": customer, "object": "customer", "name": name}
    return snapshot_event("customer.updated", body, event_id=f"evt_{n}", created=int(at.timestamp()))


async def move(stores: Stores, source: str = "l1", target: str = "l2") -> None:
    await mover(stores, source, target, tenant=MOVED).run()


async def names(scene: Scene) -> list[str]:
    """What was sent; of a key that came along there is nothing to send."""
    return [each["record"]["name"] for each in await scene.sent() if each]


async def drift_of(scene: Scene) -> Drift:
    async with scene.pool.acquire() as conn:
        [found] = await drift.list_drift(conn)
    return found


async def count(scene: Scene) -> int:
    found: int = await scene.pool.fetchval("select count(*) from postroom.stripe_event")
    return found


async def test_a_ledger_takes_no_event_before_it_is_in_the_directory(scenes: Scenes) -> None:
    with pytest.raises(TenantElsewhere):
        await scenes["l1"].receive(updated("cus_1", 1))


async def test_one_that_is_refused_fails_none_beside_it(scenes: Scenes, stores: Stores) -> None:
    await move(stores)
    events = [updated(MOVED if n == 3 else f"cus_{n}", n) for n in range(6)]
    there = await asyncio.gather(*map(scenes["l1"].receive, events), return_exceptions=True)
    assert [isinstance(each, TenantElsewhere) for each in there] == [n == 3 for n in range(6)]
    here = await asyncio.gather(*map(scenes["l2"].receive, events), return_exceptions=True)
    assert [isinstance(each, TenantElsewhere) for each in here] == [n != 3 for n in range(6)]
    assert (await count(scenes["l1"]), await count(scenes["l2"])) == (5, 1)


async def test_what_came_before_the_move_is_known_after_it(scenes: Scenes, stores: Stores) -> None:
    l1, l2 = scenes.values()
    await l1.receive(updated(MOVED, 1))
    await l1.work()
    await move(stores)
    assert (await l2.receive(updated(MOVED, 1))).duplicate
    assert not (await l2.receive(updated(MOVED, 2))).duplicate
    await l2.work()
    await move(stores, "l2", "l1")
    assert [(await l1.receive(updated(MOVED, n))).duplicate for n in (1, 2, 3)] == [True, True, False]


async def test_what_two_events_tell_is_sent_once_though_a_move_lies_between(
    scenes: Scenes, stores: Stores
) -> None:
    """The first of them is processed before the move, or while the old ledger ends what it has."""
    l1, l2 = scenes.values()
    await l1.process(updated(MOVED, 1, name="before"))
    await l1.receive(updated(MOVED, 2, name="meanwhile"))
    with pytest.raises(StillOpen):
        await move(stores)
    for n, name in enumerate(("before", "meanwhile", "after")):
        await l2.receive(updated(MOVED, 10 + n, name=name))
    assert not await l2.work()
    await l1.work()
    await end_all(l1.pool)
    await move(stores)
    assert len(await l2.work()) == 3
    assert ([len(await each.sent()) for each in (l1, l2)], await names(l2)) == ([2, 3], ["after"])
    await end_all(l2.pool)
    await move(stores, "l2", "l1")
    await l1.process(updated(MOVED, 20, name="before"))
    await l1.process(updated(MOVED, 21, name="after"))
    assert await names(l1) == ["before", "meanwhile"]


async def test_the_customer_is_fetched_where_they_are_now(scenes: Scenes, stores: Stores) -> None:
    await scenes["l1"].process(updated(MOVED, 1))
    await move(stores)
    asked = await scenes["l2"].pool.fetch("select account, customer from postroom.stripe_refresh")
    assert [tuple(row) for row in asked] == [("self", MOVED)]


async def test_each_takes_of_stripes_list_what_is_its_own(
    stores: Stores,
    scenes: Scenes,
    compared: Mapping[str, Reconcile],
    clock: DrivenClock,
    stand_in: StripeStandIn,
) -> None:
    await move(stores)
    clock.advance(300)
    for n in range(10):
        stand_in.add_event(updated(MOVED if n % 2 else f"cus_{n}", n, NOW + timedelta(seconds=n)))
    for name, reconcile in compared.items():
        assert await run(reconcile) == 5
        assert (await drift_of(scenes[name])).missed == 5
        assert await run(reconcile) == 0


async def test_what_the_old_one_had_not_compared_the_new_one_finds(
    stores: Stores,
    scenes: Scenes,
    compared: Mapping[str, Reconcile],
    clock: DrivenClock,
    stand_in: StripeStandIn,
) -> None:
    """The new one has long passed this event, which was another's by then."""
    stand_in.add_event(updated(MOVED, 1, NOW + timedelta(seconds=10)))
    stand_in.add_event(updated(MOVED, 2, NOW + timedelta(seconds=20)))
    await scenes["l1"].receive(stand_in.events[1])
    await scenes["l1"].work()
    clock.advance(3600)
    assert await run(compared["l2"]) == 0
    await move(stores)
    clock.advance(300)
    assert [await run(compared[name]) for name in ("l1", "l2", "l2")] == [0, 1, 0]
    assert (await drift_of(scenes["l2"])).missed == 1, "the other one had come in before the move"


async def test_while_nobody_has_the_customer_the_comparison_stands(
    stores: Stores,
    scenes: Scenes,
    compared: Mapping[str, Reconcile],
    clock: DrivenClock,
    stand_in: StripeStandIn,
) -> None:
    one_move = mover(stores, "l1", "l2", tenant=MOVED)
    await one_move.begin(await one_move.look())
    await one_move.copy_and_fence(await one_move.look())
    stand_in.add_event(updated(MOVED, 1, NOW + timedelta(seconds=10)))
    before = (await drift_of(scenes["l1"])).cursor_at
    clock.advance(3600)
    assert [await run(each) for each in compared.values()] == [0, 0]
    assert (await drift_of(scenes["l1"])).cursor_at == before
    await one_move.abort()
    assert await run(compared["l1"]) == 1


async def test_a_comparison_that_is_under_way_during_the_move_is_not_the_last_word(
    stores: Stores, scenes: Scenes, compared: Mapping[str, Reconcile]
) -> None:
    seen = {name: (await drift_of(scene)).cursor_at for name, scene in scenes.items()}
    await move(stores)
    async with scenes["l2"].pool.acquire() as conn:
        assert seen["l2"] is not None
        to = NOW + timedelta(hours=1)
        assert await drift.move(conn, account="self", live=False, seen=seen["l2"], to=to) is None


async def test_the_mirror_is_loaded_with_what_is_its_own(
    stores: Stores, scenes: Scenes, stand_in: StripeStandIn
) -> None:
    for customer in (MOVED, "cus_1", "cus_2"):
        stand_in.put({"id": customer, "object": "customer", "livemode": False})
    await move(stores)
    for name, expected in (("l1", 2), ("l2", 1)):
        async with transaction(scenes[name].pool) as conn:
            await load_progress.begin(conn, account="self", live=False, types=["customer"], again=False)
        assert await scenes[name].load(SystemClock()).run(JobContext(once=True)) == expected
