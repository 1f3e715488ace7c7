"""Events that are ready together commit together; a fault of one leaves its neighbours alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from postroom.base.db import Pool
from postroom.dev.stripe_events import snapshot_event
from postroom.outbox.model import Answer, RetryLater, Settled
from tests.fixtures.stripe import Scene

ROUTES = """
[[route]]
on = "invoice.paid"
export = { dataset = "invoices", record = { id = "{{ object.id }}" } }
webhook = { tenant = "{{ object.customer }}" }
"""
COUNT = 40
REFUSE_ONE = """
create function refuse() returns trigger language plpgsql as $$ begin raise 'not this one'; end $$;
create trigger refuse before insert on postroom.message for each row
when (new.payload -> 'record' ->> 'id' = 'in_7') execute function refuse()"""


@pytest.fixture
def scene(pool: Pool, tmp_path: Path) -> Scene:
    return Scene(pool, tmp_path, routes=ROUTES)


def invoice(number: int) -> dict[str, object]:
    return {"id": f"in_{number}", "object": "invoice", "customer": "cus_1"}


async def deliver_at_once(scene: Scene) -> list[Answer]:
    return await asyncio.gather(*(scene.deliver(claim) for claim in await scene.claim()))


async def test_what_is_ready_together_commits_together(scene: Scene) -> None:
    for number in range(COUNT):
        await scene.receive(snapshot_event("invoice.paid", invoice(number)))
    assert await deliver_at_once(scene) == [Settled()] * COUNT
    assert {row["id"] for row in map(lambda sent: sent["record"], await scene.sent())} == {
        f"in_{number}" for number in range(COUNT)
    }
    commits = await scene.pool.fetchval(
        "select count(distinct xmin::text) from postroom.message where channel = 'export'"
    )
    assert commits <= COUNT / 10
    assert await scene.count("processed") == COUNT
    assert await scene.pool.fetchval("select count(*) from postroom.stripe_object") == COUNT


async def test_one_that_postgresql_refuses_leaves_its_neighbours_alone(scene: Scene) -> None:
    await scene.pool.execute(REFUSE_ONE)
    for number in range(COUNT):
        await scene.receive(snapshot_event("invoice.paid", invoice(number)))
    answers = await deliver_at_once(scene)
    [refused] = [answer for answer in answers if answer != Settled()]
    assert isinstance(refused, RetryLater)
    assert refused.reason == "PostgreSQL refused: not this one"
    assert len(await scene.sent()) == COUNT - 1
    assert await scene.count("processed") == COUNT - 1


async def test_a_claim_that_was_lost_rolls_back_its_own_event_only(scene: Scene) -> None:
    for number in range(COUNT):
        await scene.receive(snapshot_event("invoice.paid", invoice(number)))
    claims = await scene.claim()
    await scene.pool.execute(
        "update postroom.delivery set claim_no = claim_no + 1 where message_id = $1", claims[3].message_id
    )
    assert await asyncio.gather(*(scene.deliver(claim) for claim in claims)) == [Settled()] * COUNT
    sent = {each["record"]["id"] for each in await scene.sent()}
    assert sent == {f"in_{number}" for number in range(COUNT)} - {"in_3"}
    assert await scene.pool.fetchval("select count(*) from postroom.delivery where channel = 'stripe'") == 1
