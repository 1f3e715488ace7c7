"""A backfill fills the mirror and causes nothing unless told to; what Stripe sends after all still acts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.errors import Unavailable
from postroom.channels.stripe.backfill import Backfill
from postroom.channels.stripe.client import EventQuery
from postroom.channels.stripe.ingest import Ingest
from postroom.channels.stripe.reprocess import reprocess
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import encode, signed, snapshot_event
from postroom.encryption.keyring import NO_KEYS, keyring_of, new_key
from postroom.outbox.model import Delivered, Settled
from tests.fixtures.encryption import keys
from tests.fixtures.stripe import SECRET, Scene, at

ROUTES = """
[[route]]
on = "invoice.paid"
export = { dataset = "paid", record = { id = "{{ object.id }}" } }
"""
ALL = EventQuery(since=at(0))


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    stand_in = StripeStandIn()
    await stand_in.start()
    for n in range(4):
        stand_in.add_event(snapshot_event("invoice.paid", {"id": f"in_{n}", "object": "invoice"}, created=n))
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path, stand_in: StripeStandIn) -> AsyncIterator[Scene]:
    scene = Scene(pool, tmp_path, routes=ROUTES, stand_in=stand_in)
    yield scene
    await scene.close()


@pytest.fixture
def backfill(scene: Scene) -> Backfill:
    return Backfill(
        pool=scene.pool, apis=scene.apis, ingest=scene.ingest, circuits=scene.circuits, clock=SystemClock()
    )


async def sent(scene: Scene) -> list[str]:
    return [payload["record"]["id"] for payload in await scene.sent()]


async def test_by_default_it_fills_the_mirror_and_causes_nothing(scene: Scene, backfill: Backfill) -> None:
    done = await backfill.run(ALL)
    assert (done.taken, done.effects) == (4, 0)
    assert await scene.work() == [Settled()] * 4
    assert await sent(scene) == []
    assert await scene.pool.fetchval("select count(*) from postroom.stripe_object") == 4
    states = await scene.pool.fetch("select distinct state, effects from postroom.stripe_event")
    assert [tuple(row) for row in states] == [("ignored", False)]
    assert (await backfill.run(ALL)).missing == 0


async def test_with_effects_what_is_young_enough_acts(scene: Scene, backfill: Backfill) -> None:
    look = await backfill.run(ALL, effects_since=at(2), dry_run=True)
    assert (look.missing, look.effects, look.taken) == (4, 2, 0)
    done = await backfill.run(ALL, effects_since=at(2))
    assert (done.taken, done.effects) == (4, 2)
    await scene.work()
    assert await sent(scene) == ["in_2", "in_3"]


@pytest.mark.parametrize("between", ["waiting", "processed"])
async def test_what_only_filled_the_mirror_acts_when_it_is_asked_to(
    scene: Scene, backfill: Backfill, between: str
) -> None:
    await backfill.run(ALL)
    if between == "processed":
        await scene.work()
    done = await backfill.run(ALL, effects_since=at(2))
    assert (done.duplicates, done.taken, done.effects) == (2, 2, 2)
    await scene.work()
    assert await sent(scene) == ["in_2", "in_3"]
    assert (await backfill.run(ALL, effects_since=at(2))).missing == 0


@pytest.mark.parametrize("between", ["waiting", "processed"])
async def test_what_stripe_sends_after_all_acts_once(
    scene: Scene, stand_in: StripeStandIn, backfill: Backfill, between: str
) -> None:
    await backfill.run(ALL)
    if between == "processed":
        await scene.work()
    received = [await scene.receive(stand_in.events[0]) for _ in range(2)]
    assert [each.duplicate for each in received] == [False, True]
    answers = await scene.work()
    assert answers.count(Delivered(detail="came in once more meanwhile")) == (between == "waiting")
    assert set(map(type, answers)) <= {Settled, Delivered}
    assert await sent(scene) == ["in_0"]
    row = await scene.row("select * from postroom.stripe_event where event_id = $1", received[0].event_id)
    assert (row["state"], row["source"], row["effects"]) == ("processed", "webhook", True)
    assert row["message_id"] == received[0].message_id


async def test_reprocessing_it_acts_and_stripe_sends_it_for_nothing_then(
    scene: Scene, stand_in: StripeStandIn, backfill: Backfill
) -> None:
    await backfill.run(ALL)
    await scene.work()
    row = await scene.row("select * from postroom.stripe_event where object_id = 'in_0'")
    async with transaction(scene.pool) as conn:
        await reprocess(conn, row["message_id"], keyring=NO_KEYS)
    await scene.work()
    assert await sent(scene) == ["in_0"]
    assert (await scene.receive(stand_in.events[0])).duplicate
    assert await scene.work() == []


async def test_encrypted_at_rest_it_is_taken_over_as_well(scene: Scene, stand_in: StripeStandIn) -> None:
    ingest = Ingest(
        pool=scene.pool,
        settings=scene.settings,
        clock=SystemClock(),
        keyring=keyring_of(keys(new_key("k"))),
    )
    backfill = Backfill(
        pool=scene.pool, apis=scene.apis, ingest=ingest, circuits=scene.circuits, clock=SystemClock()
    )
    await backfill.run(ALL)
    body = encode(stand_in.events[0])
    received = await ingest.receive(body, signed(body, SECRET)["Stripe-Signature"])
    rows = await scene.pool.fetch("select message_id from postroom.stripe_event where effects")
    assert [row["message_id"] for row in rows] == [received.message_id]
    await ingest.close()


async def test_runners_of_another_version_would_act_on_it(scene: Scene, backfill: Backfill) -> None:
    await scene.pool.execute(
        "insert into postroom.worker (host, pid, role, version) values ('elsewhere', 1, 'work', '0.0.1')"
    )
    with pytest.raises(Unavailable, match=r"another version \(0.0.1\)"):
        await backfill.run(ALL)
    assert (await backfill.run(ALL, dry_run=True)).missing == 4
