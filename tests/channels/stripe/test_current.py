"""The current object is fetched where a snapshot is not enough, and an outage loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroom.base.db import Pool
from postroom.channels.stripe.processor import FETCHES_MAX
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_events import API_VERSION, snapshot_event, thin_event
from postroom.outbox.model import Cause, Deferred, Rejected, RetryLater, Settled, Wait
from tests.fixtures.stripe import Scene

ROUTES = """
[[route]]
on = "product.updated"
export = { dataset = "seen", record = { name = "{{ object.name }}", sent = "{{ event.data.object.name }}" } }

[[route]]
on = "product.created"
fetch = true
export = { dataset = "seen", record = { name = "{{ object.name }}" } }

[[route]]
on = "v2.core.account.updated"
export = { dataset = "seen", record = "{{ object }}" }
"""
ACCOUNT_URL = "/v2/core/accounts/acct_9"


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path, stand_in: StripeStandIn) -> AsyncIterator[Scene]:
    scene = Scene(pool, tmp_path, routes=ROUTES, stand_in=stand_in)
    yield scene
    await scene.close()


def product(name: str) -> dict[str, object]:
    return {"id": "prod_1", "object": "product", "name": name}


def account_updated() -> dict[str, object]:
    return thin_event(
        "v2.core.account.updated", object_id="acct_9", object_type="v2.core.account", url=ACCOUNT_URL
    )


async def test_a_snapshot_that_is_the_newest_is_enough(scene: Scene, stand_in: StripeStandIn) -> None:
    await scene.process(snapshot_event("product.updated", product("a"), created=5))
    await scene.process(snapshot_event("product.updated", product("b"), created=6))
    assert stand_in.requests == []
    assert (await scene.mirror("prod_1"))["data"]["name"] == "b"


async def test_two_events_of_one_second_are_settled_by_asking(scene: Scene, stand_in: StripeStandIn) -> None:
    stand_in.put(product("now"))
    await scene.process(snapshot_event("product.updated", product("a"), created=5, account="acct_1"))
    await scene.process(snapshot_event("product.updated", product("b"), created=5, account="acct_1"))
    assert await scene.sent() == [
        {"dataset": "seen", "record": {"name": "a", "sent": "a"}},
        {"dataset": "seen", "record": {"name": "now", "sent": "b"}},
    ]
    mirror = await scene.mirror("prod_1")
    assert (mirror["data"]["name"], mirror["fetched"]) == ("now", True)
    [request] = stand_in.requests
    assert (request.path, request.account, request.version) == ("/v1/products/prod_1", "acct_1", API_VERSION)


async def test_an_older_event_that_somebody_acts_on_is_shown_the_present(
    scene: Scene, stand_in: StripeStandIn
) -> None:
    stand_in.put(product("now"))
    await scene.process(snapshot_event("product.updated", product("new"), created=9))
    await scene.process(snapshot_event("product.updated", product("old"), created=3))
    assert (await scene.sent())[1]["record"] == {"name": "now", "sent": "old"}
    assert (await scene.mirror("prod_1"))["data"]["name"] == "now"


async def test_the_next_event_older_than_what_was_fetched_does_not_take_the_mirror_back(
    scene: Scene, stand_in: StripeStandIn
) -> None:
    stand_in.put(product("now"))
    await scene.process(snapshot_event("product.updated", product("a"), created=5))
    await scene.process(snapshot_event("product.updated", product("b"), created=5))
    await scene.process(snapshot_event("product.updated", product("c"), created=6))
    assert (await scene.mirror("prod_1"))["data"]["name"] == "now"


async def test_a_route_can_ask_for_the_current_object(scene: Scene, stand_in: StripeStandIn) -> None:
    stand_in.put(product("now"))
    await scene.process(snapshot_event("product.created", product("then")))
    assert (await scene.sent())[0]["record"] == {"name": "now"}


async def test_a_thin_event_is_filled_in(scene: Scene, stand_in: StripeStandIn) -> None:
    state = {"id": "acct_9", "object": "v2.core.account", "display_name": "Nine"}
    stand_in.put(state, path=ACCOUNT_URL)
    assert await scene.process(account_updated()) == [Settled()]
    assert (await scene.sent())[0]["record"] == state
    assert (await scene.mirror("acct_9"))["data"] == state


async def test_what_is_gone_goes_on_with_its_snapshot(scene: Scene, stand_in: StripeStandIn) -> None:
    assert await scene.process(snapshot_event("product.created", product("last"))) == [Settled()]
    assert (await scene.sent())[0]["record"] == {"name": "last"}
    mirror = await scene.mirror("prod_1")
    assert mirror["deleted"]
    assert mirror["data"]["name"] == "last"


@pytest.mark.parametrize(
    ("fault", "says"),
    [(Fault.WRONG_MODE, "of the wrong mode"), (Fault.NO_ACCESS, "no access to account acct_1")],
)
async def test_what_our_key_does_not_reach_is_a_dead_letter_and_not_deleted(
    scene: Scene, stand_in: StripeStandIn, fault: Fault, says: str
) -> None:
    await scene.process(snapshot_event("product.updated", product("last"), account="acct_1", created=5))
    stand_in.fail(fault)
    [answer] = await scene.process(
        snapshot_event("product.created", product("then"), account="acct_1", created=6)
    )
    assert isinstance(answer, Rejected)
    assert answer.cause is Cause.OURS
    assert says in answer.reason
    assert "POSTROOM_STRIPE__API_KEY" in answer.reason
    assert "sk_" not in answer.reason
    assert not (await scene.mirror("prod_1"))["deleted"]
    assert await scene.pool.fetchval("select count(*) from postroom.dead_letter") == 1
    assert await scene.pool.fetchval("select state from postroom.circuit where name = 'stripe'") == "closed"


async def test_an_outage_opens_the_breaker_and_every_event_waits_and_none_fails(
    scene: Scene, stand_in: StripeStandIn
) -> None:
    stand_in.fail(Fault.SERVER_ERROR)
    for number in range(20):
        stand_in.put({"id": f"prod_{number}", "object": "product", "name": "now"})
        await scene.receive(snapshot_event("product.created", {**product("a"), "id": f"prod_{number}"}))
    answers = await scene.work()
    failed = [answer for answer in answers if isinstance(answer, RetryLater)]
    waiting = [answer for answer in answers if isinstance(answer, Deferred)]
    assert len(failed) == 4
    assert len(waiting) == 16
    assert {answer.wait for answer in waiting} == {Wait.CIRCUIT_OPEN}
    assert len(stand_in.requests) == 5
    assert await scene.count("deferred") == 16
    for _ in range(6):  # trials that fail spend no attempt
        await scene.pass_time()
        assert not [answer for answer in await scene.work() if isinstance(answer, RetryLater)]
    assert await scene.pool.fetchval("select max(attempts) from postroom.delivery") == 1
    stand_in.recover()
    for _ in range(3):
        await scene.pass_time()
        await scene.work()
    assert len(await scene.sent()) == 20
    assert await scene.pool.fetchval("select count(*) from postroom.dead_letter") == 0
    assert await scene.pool.fetchval("select state from postroom.circuit where name = 'stripe'") == "closed"
    openings = "select sum(value) from postroom.tally where name = 'circuit_open' and label = 'stripe'"
    assert await scene.pool.fetchval(openings) >= 1


async def test_events_that_need_nothing_go_on_during_an_outage(scene: Scene, stand_in: StripeStandIn) -> None:
    stand_in.fail(Fault.UNAUTHORIZED)
    [answer] = await scene.process(snapshot_event("product.created", product("a")))
    assert isinstance(answer, Deferred)
    assert "POSTROOM_STRIPE__API_KEY" in answer.reason
    other = {**product("b"), "id": "prod_2"}
    assert await scene.process(snapshot_event("product.updated", other)) == [Settled()]


async def test_a_rate_limit_is_obeyed(scene: Scene, stand_in: StripeStandIn) -> None:
    stand_in.put(product("now"))
    stand_in.fail(Fault.RATE_LIMITED, times=1, retry_after_s=17)
    [answer] = await scene.process(snapshot_event("product.created", product("a")))
    assert answer == Deferred(
        Wait.DESTINATION_FULL, "Stripe's API answered HTTP 429 (global-rate)", after_s=17.0
    )


@pytest.mark.parametrize("refused", [False, True])
async def test_silence_and_a_closed_door_are_failures_that_pass(
    scene: Scene, stand_in: StripeStandIn, refused: bool
) -> None:
    if refused:
        await stand_in.stop()
    stand_in.fail(Fault.HANG)
    [answer] = await scene.process(snapshot_event("product.created", product("a")))
    assert isinstance(answer, RetryLater)
    assert answer.cause is Cause.PASSING


async def test_while_the_breaker_is_held_open_nothing_is_asked(scene: Scene, stand_in: StripeStandIn) -> None:
    stand_in.put(product("now"))
    await scene.pool.execute(
        "update postroom.circuit set state = 'open', forced = true where name = 'stripe'"
    )
    [answer] = await scene.process(snapshot_event("product.created", product("a")))
    assert isinstance(answer, Deferred)
    assert stand_in.requests == []


async def test_stripe_is_asked_so_many_things_at_once_and_no_more(
    scene: Scene, stand_in: StripeStandIn
) -> None:
    for number in range(30):
        await scene.receive(snapshot_event("product.created", {"id": f"prod_{number}", "object": "product"}))
    stand_in.trouble.fault = Fault.HANG
    tasks = [asyncio.create_task(scene.deliver(claim)) for claim in await scene.claim()]
    async with asyncio.timeout(5):
        while len(stand_in.requests) < FETCHES_MAX:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # longer than any of the others would need
    assert len(stand_in.requests) == FETCHES_MAX
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
