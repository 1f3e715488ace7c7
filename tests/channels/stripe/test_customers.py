"""Routes that look at the customer: of a subscription nobody knows the address otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from postroom.base.db import Pool
from postroom.channels.stripe.event import parse
from postroom.channels.stripe.rehearsal import rehearse
from postroom.dev.stripe_events import snapshot_event
from postroom.outbox.model import Channel, RetryLater, Settled
from tests.channels.stripe.test_rehearsal import accept, effects
from tests.fixtures.stripe import Scene

ROUTES = """
[[route]]
on = "customer.subscription.trial_will_end"
email = { template = "trial_ends", to = "{{ customer.email }}", locale = "{{ customer.preferred_locales }}" }

[[route]]
on = "charge.refunded"
when = "{{ (customer or {}).get('email') is not none }}"
export = { dataset = "refunds", record = { whose = "{{ customer }}" } }
"""
CUSTOMER = {"id": "cus_1", "object": "customer", "email": "a@example.com", "preferred_locales": ["fr"]}
TRIAL = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "trial_end": 1_767_225_600}


@pytest.fixture
def scene(pool: Pool, tmp_path: Path) -> Scene:
    return Scene(pool, tmp_path, routes=ROUTES)


async def test_a_mail_goes_to_the_customer_in_their_language(scene: Scene) -> None:
    await scene.process(snapshot_event("customer.created", CUSTOMER))
    assert await scene.process(snapshot_event("customer.subscription.trial_will_end", TRIAL)) == [Settled()]
    [mail] = await scene.sent("email")
    assert (mail["to"], mail["locale"], mail["data"]["object"]["id"]) == ("a@example.com", ["fr"], "sub_1")


async def test_who_is_not_in_the_mirror_yet_is_waited_for(scene: Scene) -> None:
    [answer] = await scene.process(snapshot_event("customer.subscription.trial_will_end", TRIAL))
    assert isinstance(answer, RetryLater)
    assert (
        "cus_1 is not in the mirror: it comes with its own events, or by postroom stripe load"
        in answer.reason
    )
    await scene.process(snapshot_event("customer.created", CUSTOMER))
    await scene.pass_time()
    assert await scene.work() == [Settled()]
    assert len(await scene.sent("email")) == 1


async def test_a_customer_of_another_account_is_another(scene: Scene) -> None:
    await scene.process(snapshot_event("customer.created", CUSTOMER, account="acct_1"))
    [answer] = await scene.process(snapshot_event("customer.subscription.trial_will_end", TRIAL))
    assert isinstance(answer, RetryLater)


async def test_an_object_of_nobodys_has_none(scene: Scene) -> None:
    charge = {"id": "ch_1", "object": "charge", "customer": None}
    assert await scene.process(snapshot_event("charge.refunded", charge)) == [Settled()]
    assert await scene.sent("export") == []


async def test_a_rehearsal_is_given_one(tmp_path: Path) -> None:
    event = parse(snapshot_event("customer.subscription.trial_will_end", TRIAL))
    loaded = effects(tmp_path, routes=ROUTES)
    told = await rehearse(loaded, event, {Channel.EMAIL: accept})
    assert told.notes == ["the customer is not looked up: give one with --customer"]
    assert "email.to: {{ customer.email }} has no value" in told.faults[0]
    told = await rehearse(loaded, replace(event, buyer=CUSTOMER), {Channel.EMAIL: accept})
    assert told.messages[0].payload["to"] == "a@example.com"
