"""An event's effects commit with its processing: all, once, in order for each object."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from postroom.base.db import Pool
from postroom.channels.stripe import processor
from postroom.dev.stripe_events import snapshot_event, subscription_life, thin_event
from postroom.outbox.model import Cause, Rejected, RetryLater, Settled
from tests.fixtures.stripe import Scene

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures" / "stripe-objects.json"

ROUTES = """
[[route]]
on = "invoice.paid"
email   = { template = "receipt", to = "{{ object.customer_email }}" }
webhook = { tenant = "{{ object.customer }}" }
export  = { dataset = "invoices", record = { id = "{{ object.id }}" } }
"""
HANDLERS = """
import asyncio
from postroom import on

@on("customer.created")
async def welcome(event, tx):
    await tx.publish(channel="email", payload={"to": event.object["email"], "template": "welcome"})
    record = {"id": event.object_id}
    await tx.publish(channel="export", payload={"dataset": "people", "record": record}, key="row")

@on("customer.deleted")
async def breaks(event, tx):
    await tx.publish(channel="export", payload={"dataset": "people", "record": {}})
    raise ValueError("no such person, sk_live_abcdefghijkl")

@on("customer.updated")
async def writes(event, tx):
    await tx.conn.execute("select 1 / 0")

@on("customer.tax_id.created")
async def refused(event, tx):
    await tx.publish(channel="email", payload={"to": event.object["email"]}, tenant="t" * 201)

@on("customer.source.created")
async def pretends(event, tx):
    await tx.publish(channel="stripe", payload={"id": "evt_2"})

@on("charge.succeeded")
async def holds(event, tx):
    await tx.conn.execute("select pg_advisory_xact_lock_shared(17)")

@on("charge.failed")
async def waits(event, tx):
    await asyncio.sleep(60)
"""
HELD = """
select count(*) from pg_locks where locktype = 'advisory' and objid = 17 and not granted
    and database = (select oid from pg_database where datname = current_database())
"""
INVOICE = {"id": "in_1", "object": "invoice", "customer": "cus_1", "customer_email": "a@example.com"}
CUSTOMER = {"id": "cus_1", "object": "customer", "email": "a@example.com"}


@pytest.fixture
def scene(pool: Pool, tmp_path: Path) -> Scene:
    return Scene(pool, tmp_path, routes=ROUTES, handlers=HANDLERS)


async def test_all_effects_commit_with_the_event_and_name_it(scene: Scene) -> None:
    event = snapshot_event("invoice.paid", INVOICE)
    received = await scene.receive(event)
    assert await scene.work() == [Settled()]
    rows = await scene.pool.fetch("select * from postroom.message where channel <> 'stripe' order by channel")
    assert [row["channel"] for row in rows] == ["email", "export", "webhook"]
    assert {row["correlation_id"] for row in rows} == {str(received.message_id)}
    assert {row["key"].rpartition(":")[0] for row in rows} == {f"stripe:self:{event['id']}:invoice.paid/1"}
    assert rows[2]["tenant"] == "cus_1"
    assert await scene.state(event["id"]) == "processed"
    assert await scene.count("processed") == 1
    assert await scene.pool.fetchval("select count(*) from postroom.delivery where channel = 'stripe'") == 0
    assert await scene.pool.fetchval("select outcome from postroom.attempt") == "delivered"


@pytest.mark.rows_by_hand
async def test_a_second_processing_sends_nothing_twice(scene: Scene) -> None:
    for event in (snapshot_event("invoice.paid", INVOICE), snapshot_event("customer.created", CUSTOMER)):
        await scene.process(event)
    before = await scene.pool.fetchval("select count(*) from postroom.message")
    await scene.pool.execute(
        "insert into postroom.delivery (message_id, channel, destination, due_at) "
        "select id, 'stripe', 'stripe', now() from postroom.message where channel = 'stripe'"
    )
    assert await scene.work() == [Settled(), Settled()]
    assert await scene.pool.fetchval("select count(*) from postroom.message") == before


async def test_an_event_nobody_waits_for_is_kept_and_ignored(scene: Scene) -> None:
    event = snapshot_event("brand.new.thing", {"id": "x_1", "object": "brand"})
    assert await scene.process(event) == [Settled()]
    assert await scene.state(event["id"]) == "ignored"
    assert await scene.count("ignored") == 1
    assert await scene.count("processed") == 0


async def test_a_handler_publishes_with_keys_of_its_own(scene: Scene) -> None:
    event = snapshot_event("customer.created", CUSTOMER)
    await scene.process(event)
    keys = await scene.pool.fetch("select key from postroom.message where channel <> 'stripe' order by key")
    prefix = f"stripe:self:{event['id']}:handler/welcome"
    assert [row["key"] for row in keys] == [f"{prefix}:1", f"{prefix}:row"]


async def test_a_handler_that_raises_leaves_nothing_behind_and_says_why(scene: Scene) -> None:
    event = snapshot_event("customer.deleted", CUSTOMER)
    [answer] = await scene.process(event)
    assert isinstance(answer, RetryLater)
    assert answer.cause is Cause.OURS
    assert answer.reason == "handler breaks raised ValueError: no such person, sk_live_[removed]"
    assert await scene.sent() == []
    assert await scene.pool.fetchval("select count(*) from postroom.stripe_object") == 0
    assert await scene.count("error") == 1
    for _ in range(2):
        await scene.pass_time()
        await scene.work()
    letter = await scene.row("select cause, reason from postroom.dead_letter")
    assert (letter["cause"], letter["reason"]) == ("ours", answer.reason)
    assert await scene.count("error") == 3


async def test_sql_that_fails_in_a_handler_is_the_handlers_fault(scene: Scene) -> None:
    [answer] = await scene.process(snapshot_event("customer.updated", CUSTOMER))
    assert isinstance(answer, RetryLater)
    assert "handler writes raised DivisionByZeroError" in answer.reason


async def test_a_handler_makes_no_event_of_stripes(scene: Scene) -> None:
    """Nobody would process it, and its transaction would hold up the intake until the handler ends."""
    [answer] = await scene.process(snapshot_event("customer.source.created", CUSTOMER))
    assert isinstance(answer, RetryLater)
    assert "handler pretends raised InvalidInput: channel is one of email, webhook, export" in answer.reason


async def test_what_postgresql_refuses_is_told_without_the_row(scene: Scene) -> None:
    """Its detail is the row, payload included, and a reason is neither encrypted nor erased with it."""
    [answer] = await scene.process(snapshot_event("customer.tax_id.created", CUSTOMER))
    assert isinstance(answer, RetryLater)
    assert "CheckViolationError" in answer.reason
    assert "a@example.com" not in answer.reason


async def test_a_route_with_nobody_to_send_to_is_told(scene: Scene) -> None:
    [answer] = await scene.process(snapshot_event("invoice.paid", {**INVOICE, "customer_email": None}))
    assert isinstance(answer, RetryLater)
    assert "route invoice.paid/1: email.to is empty" in answer.reason
    assert await scene.sent("webhook") == []


async def test_one_bad_event_holds_up_its_own_object_only(scene: Scene) -> None:
    await scene.receive(snapshot_event("customer.deleted", CUSTOMER))
    await scene.receive(snapshot_event("customer.created", CUSTOMER))
    await scene.receive(snapshot_event("invoice.paid", INVOICE))
    answers = await scene.work()
    assert [type(answer) for answer in answers] == [RetryLater, Settled]
    assert len(await scene.sent("webhook")) == 1
    assert await scene.pool.fetchval("select count(*) from postroom.delivery where channel = 'stripe'") == 2


async def test_a_zombie_does_nothing(scene: Scene) -> None:
    event = snapshot_event("invoice.paid", INVOICE)
    await scene.receive(event)
    [zombie] = await scene.claim()
    await scene.pool.execute("update postroom.delivery set worker = null, claimed_at = null")
    [rescued] = await scene.claim()
    assert await scene.adapter.deliver(zombie) == Settled()
    assert await scene.sent() == []
    assert await scene.state(event["id"]) == "received"
    assert await scene.count("processed") == 0
    assert await scene.deliver(rescued) == Settled()
    assert len(await scene.sent()) == 1


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("by_key", [True, False])
async def test_an_event_of_the_other_mode_causes_nothing(
    pool: Pool, tmp_path: Path, live: bool, by_key: bool
) -> None:
    scene = Scene(pool, tmp_path, routes=ROUTES, livemode=None if by_key else live)
    if by_key:  # the adapter and the intake share these settings
        scene.settings.api_key = SecretStr("rk_live_scene" if live else "sk_test_scene")
    event = snapshot_event("invoice.paid", INVOICE, livemode=not live)
    assert await scene.process(event) == [Settled()]
    assert await scene.state(event["id"]) == "quarantined"
    assert await scene.sent() == []
    assert await scene.count("ignored") == 1
    assert await scene.pool.fetchval("select count(*) from postroom.stripe_object") == 0
    await scene.process(snapshot_event("invoice.paid", INVOICE, livemode=live))
    assert len(await scene.sent()) == 1


async def test_what_did_not_come_through_the_webhook_is_refused(scene: Scene) -> None:
    forged = json.dumps(snapshot_event("invoice.paid", INVOICE))
    await scene.pool.execute(
        "select postroom.publish(channel => 'stripe', payload => $1::text::jsonb)", forged
    )
    await scene.pool.execute("select postroom.publish(channel => 'stripe', payload => '[1]')")
    first, second = await scene.work()
    assert isinstance(first, Rejected)
    assert "no such event came in" in first.reason
    assert isinstance(second, Rejected)
    assert await scene.sent() == []


async def test_the_mirror_never_goes_back_without_an_api_key(scene: Scene) -> None:
    events = subscription_life(email="a@example.com", started=1_700_000_000)
    _, created, _, updated, _, deleted = events
    for event in (updated, created, deleted, updated | {"id": "evt_again"}):
        await scene.process(event)
    mirror = await scene.mirror(created["data"]["object"]["id"])
    assert mirror["data"]["status"] == "canceled"
    assert mirror["event_id"] == deleted["id"]


async def test_created_never_wins_over_updated_of_the_same_second(scene: Scene) -> None:
    new = snapshot_event("product.updated", {"id": "prod_1", "object": "product", "name": "new"}, created=5)
    old = snapshot_event("product.created", {"id": "prod_1", "object": "product", "name": "old"}, created=5)
    await scene.process(new)
    await scene.process(old)
    assert (await scene.mirror("prod_1"))["data"]["name"] == "new"
    await scene.process(snapshot_event("product.deleted", new["data"]["object"], created=5))
    assert (await scene.mirror("prod_1"))["deleted"]


async def test_a_thin_event_without_an_api_key_says_what_is_missing(pool: Pool, tmp_path: Path) -> None:
    route = '[[route]]\non = "v2.core.account.updated"\nexport = { dataset = "accounts" }'
    scene = Scene(pool, tmp_path, routes=route)
    [answer] = await scene.process(
        thin_event(
            "v2.core.account.updated",
            object_id="acct_1",
            object_type="v2.core.account",
            url="/v2/core/accounts/acct_1",
        )
    )
    assert answer == RetryLater(
        "POSTROOM_STRIPE__API_KEY is not set",
        cause=Cause.OURS,
        trip=answer.trip,  # type: ignore[union-attr]
    )


@pytest.mark.skipif(
    not FIXTURES.exists(), reason="shared/fixtures/stripe-objects.json is not beside the project"
)
async def test_an_event_around_every_object_stripe_has_is_processed(pool: Pool, tmp_path: Path) -> None:
    scene = Scene(pool, tmp_path, routes='[[route]]\non = "*"\nexport = { dataset = "all" }')
    objects = json.loads(FIXTURES.read_text(encoding="utf-8"))["resources"]
    ids = []
    for name, body in objects.items():
        event = snapshot_event(f"{name}.updated", body)
        ids.append((await scene.receive(event)).event_id)
    answers = await scene.work()
    assert answers == [Settled()] * len(objects)
    assert len(await scene.sent()) == len(objects)
    assert {await scene.state(event_id) for event_id in ids} == {"processed"}


async def test_handlers_leave_connections_to_the_others(scene: Scene) -> None:
    for number in range(20):
        await scene.receive(snapshot_event("charge.succeeded", {"id": f"ch_{number}", "object": "charge"}))
    claims = await scene.claim()
    async with asyncio.timeout(30), scene.pool.acquire() as gate:
        await gate.execute("select pg_advisory_lock(17)")
        delivering = [asyncio.create_task(scene.deliver(claim)) for claim in claims]
        while await gate.fetchval(HELD) < processor.HANDLING_MAX:
            await asyncio.sleep(0)
        async with AsyncExitStack() as others:
            for _ in range(scene.pool.get_max_size() - processor.HANDLING_MAX - 1):
                await others.enter_async_context(scene.pool.acquire())  # behind every handler that asked
            assert await gate.fetchval(HELD) == processor.HANDLING_MAX
        await gate.execute("select pg_advisory_unlock(17)")
        assert await asyncio.gather(*delivering) == [Settled()] * 20


async def test_a_handler_that_does_not_end_is_cut_and_named(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "HANDLING_S", 0.1)
    [answer] = await scene.process(snapshot_event("charge.failed", {"id": "ch_1", "object": "charge"}))
    assert isinstance(answer, RetryLater)
    assert (answer.reason, answer.cause) == ("waits: no end within 0.1 s", Cause.OURS)
