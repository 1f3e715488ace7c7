"""A thin event is what Stripe's API says of it: its data, what changed, and its object, if it names one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroom.base.db import Pool
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_events import thin_event
from postroom.outbox.model import RetryLater, Settled
from tests.fixtures.stripe import Scene

ROUTES = """
[[route]]
on = "v1.billing.meter.no_meter_found"
export = { dataset = "meters", record = "{{ object }}" }

[[route]]
on = "v2.core.account.updated"
export.dataset = "accounts"
export.record = { name = "{{ object.name }}", was = "{{ previous.name }}", n = "{{ event.data.n }}" }
"""
URL = "/v2/core/accounts/acct_9"


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path, stand_in: StripeStandIn) -> AsyncIterator[Scene]:
    scene = Scene(pool, tmp_path, routes=ROUTES, stand_in=stand_in)
    yield scene
    await scene.close()


def account(kind: str, created: str = "2026-01-02T03:04:05.678Z") -> dict[str, object]:
    return thin_event(kind, object_id="acct_9", object_type="v2.core.account", url=URL, created=created)


async def test_its_data_and_what_changed_are_fetched_with_its_object(
    scene: Scene, stand_in: StripeStandIn
) -> None:
    event = account("v2.core.account.updated")
    told = {"data": {"n": 7}, "changes": {"before": {"name": "Eight"}, "after": {"name": "Nine"}}}
    stand_in.put({**event, **told})
    stand_in.put({"id": "acct_9", "object": "v2.core.account", "name": "Nine"}, path=URL)
    assert await scene.process(event) == [Settled()]
    assert await scene.sent() == [{"dataset": "accounts", "record": {"name": "Nine", "was": "Eight", "n": 7}}]
    assert [request.path for request in stand_in.requests] == [f"/v2/core/events/{event['id']}", URL]


async def test_one_without_an_object_is_its_data(scene: Scene, stand_in: StripeStandIn) -> None:
    event = account("v1.billing.meter.no_meter_found") | {"related_object": None}
    stand_in.put({**event, "data": {"developer_message_summary": "no meter"}})
    assert await scene.process(event) == [Settled()]
    assert (await scene.sent())[0]["record"] == {"developer_message_summary": "no meter"}
    assert await scene.pool.fetchval("select count(*) from postroom.stripe_object") == 0


async def test_without_a_route_the_mirror_has_its_object_all_the_same(
    scene: Scene, stand_in: StripeStandIn
) -> None:
    stand_in.put({"id": "acct_9", "object": "v2.core.account", "name": "Nine"}, path=URL)
    event = account("v2.core.account.closed")
    assert await scene.process(event) == [Settled()]
    assert (await scene.mirror("acct_9"))["data"]["name"] == "Nine"
    assert await scene.state(str(event["id"])) == "ignored"
    await scene.process(account("v2.core.account.closed"))
    assert [request.path for request in stand_in.requests] == [URL], (
        "what is older than the mirror tells nothing"
    )


async def test_what_nobody_waits_for_and_the_key_may_not_read_is_no_dead_letter(
    scene: Scene, stand_in: StripeStandIn
) -> None:
    stand_in.fail(Fault.NO_ACCESS)
    assert await scene.process(account("v2.core.account.closed")) == [Settled()]
    [answer] = await scene.process(account("v2.core.account.updated"))
    assert not isinstance(answer, Settled)


async def test_without_a_key_only_what_nobody_waits_for_passes(pool: Pool, tmp_path: Path) -> None:
    scene = Scene(pool, tmp_path, routes=ROUTES)
    assert await scene.process(account("v2.core.account.closed")) == [Settled()]
    no_object = account("v1.billing.meter.no_meter_found") | {"related_object": None}
    [answer] = await scene.process(no_object)
    assert isinstance(answer, RetryLater)
    assert answer.reason == "POSTROOM_STRIPE__API_KEY is not set"
    await scene.close()
