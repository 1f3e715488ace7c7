"""One API version an account: what comes in another shape is fetched anew, or said so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from postroom.base.db import Pool
from postroom.base.stripe_settings import StripeSettings
from postroom.channels.stripe.store import EventState
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_events import API_VERSION, snapshot_event
from postroom.outbox.model import RetryLater, Settled
from tests.fixtures.stripe import Scene

PINNED = "2025-03-31.basil"
ROUTES = """
[[route]]
on = "product.updated"
export = { dataset = "seen", record = { name = "{{ object.name }}" } }
"""


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path, stand_in: StripeStandIn) -> AsyncIterator[Scene]:
    scene = Scene(pool, tmp_path, routes=ROUTES, stand_in=stand_in, api_version=PINNED)
    yield scene
    await scene.close()


def event(kind: str, name: str, *, version: str, created: int = 5) -> dict[str, object]:
    product = {"id": "prod_1", "object": "product", "name": name}
    return {**snapshot_event(kind, product, created=created), "api_version": version}


async def test_what_comes_in_another_version_is_seen_in_the_pinned_one(
    scene: Scene, stand_in: StripeStandIn
) -> None:
    stand_in.put({"id": "prod_1", "object": "product", "name": "pinned shape"})
    assert await scene.process(event("product.updated", "other shape", version=API_VERSION)) == [Settled()]
    assert [request.version for request in stand_in.requests] == [PINNED]
    assert await scene.sent() == [{"dataset": "seen", "record": {"name": "pinned shape"}}]
    row = await scene.row("select api_version, data ->> 'name' as name from postroom.stripe_object")
    assert tuple(row) == (PINNED, "pinned shape")


async def test_what_comes_in_the_pinned_one_is_as_it_came(scene: Scene, stand_in: StripeStandIn) -> None:
    await scene.process(event("product.updated", "as it came", version=PINNED))
    assert stand_in.requests == []
    assert await scene.sent() == [{"dataset": "seen", "record": {"name": "as it came"}}]


async def test_the_mirror_has_one_shape_and_asks_once_for_what_is_long_past(
    scene: Scene, stand_in: StripeStandIn
) -> None:
    stand_in.put({"id": "prod_1", "object": "product", "name": "pinned shape"})
    for created in (5, 6, 7):
        await scene.process(event("product.created", "other shape", version=API_VERSION, created=created))
    assert len(stand_in.requests) == 1
    assert (await scene.mirror("prod_1"))["data"]["name"] == "pinned shape"


async def test_what_cannot_be_fetched_is_used_as_it_came_and_said(scene: Scene) -> None:
    assert await scene.process(event("product.updated", "gone", version=API_VERSION)) == [Settled()]
    assert await scene.sent() == [{"dataset": "seen", "record": {"name": "gone"}}]
    detail = await scene.pool.fetchval("select detail from postroom.attempt")
    assert detail == (
        f"{EventState.PROCESSED}; its object is of API version {API_VERSION} and cannot be fetched"
    )


async def test_a_version_that_stripe_has_no_longer_is_named(scene: Scene, stand_in: StripeStandIn) -> None:
    stand_in.fail(Fault.BAD_VERSION)
    [answer] = await scene.process(event("product.updated", "x", version=API_VERSION))
    assert isinstance(answer, RetryLater)
    assert answer.reason == f"Stripe's API answered HTTP 400 (Invalid Stripe API version: {PINNED})"


@pytest.mark.parametrize("text", ["basil", "2025-03-31 basil", ""])
def test_what_is_no_version_is_refused_at_start(text: str) -> None:
    with pytest.raises(ValidationError):
        StripeSettings(api_version=text)
