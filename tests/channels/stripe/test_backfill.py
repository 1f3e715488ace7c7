"""After a downtime, what Stripe has and we have not comes in: all of it, once, through outages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.errors import InvalidInput, Unavailable
from postroom.channels.stripe.backfill import SAMPLE_MAX, Backfill, Backfilled, Refused
from postroom.channels.stripe.client import EventQuery
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.outbox.model import Settled
from postroom.resilience.breaker import BreakerPolicy, CircuitState
from postroom.resilience.circuits import Circuits
from tests.fixtures.roles import pool_as
from tests.fixtures.stripe import Scene, at

QUICK = BreakerPolicy(strikes_max=2, open_s=1.5, open_max_s=1.5)
SOURCES = "select count(*) from postroom.stripe_event where source = 'backfill' and secret is null"


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    stand_in = StripeStandIn()
    await stand_in.start()
    for n in range(250):
        kind = "product.updated" if n % 2 else "price.updated"
        stand_in.add_event(snapshot_event(kind, {"id": f"prod_{n}", "object": "product"}, created=1_000 + n))
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path, stand_in: StripeStandIn) -> AsyncIterator[Scene]:
    scene = Scene(pool, tmp_path, stand_in=stand_in)
    yield scene
    await scene.close()


@pytest.fixture
def circuits(pool: Pool) -> Circuits:
    return Circuits(pool=pool_as(pool, "runner"), clock=SystemClock(), worker=0, policy=QUICK)


@pytest.fixture
def backfill(scene: Scene, circuits: Circuits) -> Backfill:
    return Backfill(
        pool=scene.pool, apis=scene.apis, ingest=scene.ingest, circuits=circuits, clock=SystemClock()
    )


def counts(done: Backfilled) -> tuple[int, int, int, int]:
    return done.listed, done.duplicates, done.missing, done.taken


def since(moment: datetime) -> EventQuery:
    return EventQuery(since=moment)


async def test_what_was_missed_comes_in_afterwards_and_only_that(
    scene: Scene, stand_in: StripeStandIn, backfill: Backfill
) -> None:
    for event in stand_in.events[100:120]:
        await scene.receive(event)
    assert counts(await backfill.run(since(at(1_050)), dry_run=True)) == (200, 20, 180, 0)
    assert await scene.pool.fetchval(SOURCES) == 0
    done = await backfill.run(since(at(1_050)))
    assert counts(done) == (200, 20, 180, 180)
    newest = [event["id"] for event in stand_in.events[: -SAMPLE_MAX - 1 : -1]]
    assert [missed.event_id for missed in done.sample] == newest
    assert counts(await backfill.run(since(at(1_050)))) == (200, 200, 0, 0)
    assert await scene.pool.fetchval(SOURCES) == 180
    assert set(map(type, await scene.work())) == {Settled}


async def test_a_part_of_it_by_type_and_time(scene: Scene, backfill: Backfill) -> None:
    part = EventQuery(since=at(1_000), until=at(1_020), type="price.*")
    assert counts(await backfill.run(part)) == (10, 0, 10, 10)
    types = await scene.pool.fetch("select distinct type from postroom.stripe_event")
    assert [row["type"] for row in types] == ["price.updated"]


async def test_the_oldest_come_first_though_the_list_grows_meanwhile(
    scene: Scene, stand_in: StripeStandIn, backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postroom.channels.stripe.backfill.PAGES_KEPT", 1)
    for n in range(950):
        stand_in.add_event(snapshot_event("price.updated", {"id": "p", "object": "price"}, created=2_000 + n))
    listed = [event["id"] for event in stand_in.events]

    def grow(_: Backfilled) -> None:
        stand_in.add_event(snapshot_event("price.updated", {"id": "p", "object": "price"}, created=5_000))

    assert counts(await backfill.run(since(at(0)), told=grow)) == (1_200, 0, 1_200, 1_200)
    rows = await scene.pool.fetch("select event_id from postroom.stripe_event order by message_id")
    assert [row["event_id"] for row in rows] == listed


async def test_our_own_account_by_its_id_books_nothing_twice(
    scene: Scene, stand_in: StripeStandIn, backfill: Backfill
) -> None:
    stand_in.put({"id": "acct_own", "object": "account"}, path="/v1/account")
    await backfill.run(since(at(0)))
    own = EventQuery(since=at(0), account="acct_own")
    assert counts(await backfill.run(own)) == (250, 250, 0, 0)
    accounts = await scene.pool.fetch("select distinct account from postroom.stripe_event")
    assert [row["account"] for row in accounts] == ["self"]


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.RATE_LIMITED])
async def test_an_outage_in_the_middle_opens_the_breaker_and_is_waited_for(
    scene: Scene, stand_in: StripeStandIn, backfill: Backfill, circuits: Circuits, fault: Fault
) -> None:
    stand_in.fail(fault, after=1, times=3, retry_after_s=0)
    heard: list[str] = []
    done = await backfill.run(since(at(0)), waits=lambda reason, _: heard.append(reason))
    assert counts(done) == (250, 0, 250, 250)
    assert await scene.pool.fetchval(SOURCES) == 250
    assert any("Stripe's API answered HTTP" in reason for reason in heard)
    assert ("the breaker stripe is open" in heard) == (fault is Fault.SERVER_ERROR), "a limit is no outage"
    assert {c.name: c.state for c in await circuits.listed()}["stripe"] is CircuitState.CLOSED


async def test_an_outage_that_stays_ends_it_and_a_second_run_goes_on(
    scene: Scene, stand_in: StripeStandIn, backfill: Backfill
) -> None:
    for n in range(900):
        stand_in.add_event(snapshot_event("price.updated", {"id": "price_1", "object": "price"}, created=n))
    stand_in.fail(Fault.SERVER_ERROR, after=12)
    with pytest.raises(Unavailable, match="HTTP 500"):
        await backfill.run(since(at(0)), wait_s=0.5)
    assert await scene.pool.fetchval(SOURCES) == 950
    stand_in.recover()
    assert counts(await backfill.run(since(at(0)))) == (1_150, 950, 200, 200)


async def test_while_a_person_holds_the_breaker_open_nothing_is_asked(
    scene: Scene, stand_in: StripeStandIn, backfill: Backfill
) -> None:
    await scene.pool.execute(
        "update postroom.circuit set state = 'open', forced = true where name = 'stripe'"
    )
    with pytest.raises(Unavailable, match="the breaker stripe is open"):
        await backfill.run(since(at(0)), wait_s=0)
    assert stand_in.requests == []


async def test_a_refused_key_ends_it_at_once_and_leaves_the_breaker_alone(
    stand_in: StripeStandIn, backfill: Backfill, circuits: Circuits
) -> None:
    stand_in.fail(Fault.UNAUTHORIZED)
    with pytest.raises(Refused, match="POSTROOM_STRIPE__API_KEY"):
        await backfill.run(since(at(0)))
    assert len(stand_in.requests) == 1
    assert {c.name: c.state for c in await circuits.listed()}["stripe"] is CircuitState.CLOSED


async def test_without_a_key_it_says_which_setting(pool: Pool, tmp_path: Path) -> None:
    scene = Scene(pool, tmp_path)
    backfill = Backfill(
        pool=pool_as(pool, "runner"),
        apis=scene.apis,
        ingest=scene.ingest,
        circuits=scene.circuits,
        clock=SystemClock(),
    )
    with pytest.raises(InvalidInput, match="POSTROOM_STRIPE__API_KEY is not set"):
        await backfill.run(since(at(0)))
    await scene.close()
