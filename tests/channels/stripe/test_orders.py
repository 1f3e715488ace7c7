"""What routes see and send depends neither on the order of events, nor on how often a change is told."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from postroom.base.db import Pool, transaction
from postroom.channels.stripe.reprocess import reprocess
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.encryption.keyring import NO_KEYS
from postroom.outbox.model import RetryLater
from tests.fixtures.stripe import Scene

CHANGES = (("incomplete", "active"), ("active", "past_due"), ("past_due", "active"))
BY_SNAPSHOT = """
[[route]]
on = "customer.subscription.updated"
when = "{{ previous.status == 'active' and event.data.object.status == 'past_due' }}"
export = { dataset = "warned", record = { now = "{{ object.status }}" } }
"""
HANDLER = """
from postroom import on

@on("customer.subscription.updated")
async def told(event, tx):
    record = {"from": event.previous["status"], "to": event.snapshot["status"], "now": event.object["status"]}
    await tx.publish(channel="export", payload={"dataset": "told", "record": record})
"""
KEYED = """
[[route]]
name = "receipt"
on = "invoice.paid"
key = "paid:{{ object.id }}"
export = { dataset = "paid", record = { id = "{{ object.id }}" } }

[[route]]
name = "succeeded"
on = "invoice.payment_succeeded"
key = "paid:{{ object.id }}"
export = { dataset = "paid", record = { id = "{{ object.id }}" } }
"""


def subscription(status: str) -> dict[str, object]:
    return {"id": "sub_1", "object": "subscription", "status": status}


@pytest.mark.parametrize("seconds", [(5, 5, 5), (5, 6, 7)], ids=["of one second", "late"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_a_condition_over_what_changed_holds_in_every_order(
    pool: Pool, tmp_path: Path, stand_in: StripeStandIn, order: tuple[int, ...], seconds: tuple[int, ...]
) -> None:
    scene = Scene(pool, tmp_path, routes=BY_SNAPSHOT, handlers=HANDLER, stand_in=stand_in)
    stand_in.put(subscription("active"))
    for nth in order:
        was, became = CHANGES[nth]
        await scene.process(
            snapshot_event(
                "customer.subscription.updated",
                subscription(became),
                previous={"status": was},
                created=seconds[nth],
            )
        )
    sent = await scene.sent()
    assert len([each for each in sent if each["dataset"] == "warned"]) == 1
    told = [each["record"] for each in sent if each["dataset"] == "told"]
    assert sorted((each["from"], each["to"]) for each in told) == sorted(CHANGES)
    await scene.close()


async def test_two_events_of_one_change_send_once(pool: Pool, tmp_path: Path) -> None:
    scene = Scene(pool, tmp_path, routes=KEYED)
    for kind in ("invoice.paid", "invoice.paid", "invoice.payment_succeeded"):
        await scene.process(snapshot_event(kind, {"id": "in_1", "object": "invoice"}))
    await scene.process(snapshot_event("invoice.paid", {"id": "in_2", "object": "invoice"}))
    connected = snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"}, account="acct_1")
    await scene.process(connected)
    assert [each["record"]["id"] for each in await scene.sent()] == ["in_1", "in_2", "in_1"]
    await scene.close()


async def test_a_key_that_comes_later_sends_nothing_again(pool: Pool, tmp_path: Path) -> None:
    before = Scene(pool, tmp_path, routes=KEYED.replace('key = "paid', 'urgency = "normal"\n# "paid'))
    await before.process(snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"}))
    await before.close()
    scene = Scene(pool, tmp_path, routes=KEYED)
    row = await scene.row("select message_id from postroom.stripe_event")
    async with transaction(pool) as conn:
        await reprocess(conn, row["message_id"], keyring=NO_KEYS)
    await scene.work()
    assert await scene.state((await scene.row("select event_id from postroom.stripe_event"))["event_id"]) == (
        "processed"
    )
    assert len(await scene.sent()) == 1
    await scene.close()


async def test_a_key_without_a_value_fails_by_name(pool: Pool, tmp_path: Path) -> None:
    scene = Scene(pool, tmp_path, routes=KEYED.replace("paid:{{ object.id }}", "{{ object.id or '' }}"))
    [answer] = await scene.process(snapshot_event("invoice.paid", {"object": "invoice", "id": ""}))
    assert isinstance(answer, RetryLater)
    assert answer.reason == "route receipt: key is empty"
    await scene.close()


async def test_a_long_key_is_told_apart_all_the_same(pool: Pool, tmp_path: Path) -> None:
    scene = Scene(pool, tmp_path, routes=KEYED.replace("paid:", "p" * 600))
    for invoice in ("in_1", "in_2", "in_1"):
        await scene.process(snapshot_event("invoice.paid", {"id": invoice, "object": "invoice"}))
    assert len(await scene.sent()) == 2
    await scene.close()
