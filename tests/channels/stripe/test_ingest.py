"""What Stripe sent is in the ledger before anybody is told so; nothing that is signed is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec
import pytest

from postroom.base.db import Pool, open_pool
from postroom.base.errors import InvalidInput, Unavailable
from postroom.channels.stripe.event import parse
from postroom.channels.stripe.ingest import Arrival
from postroom.channels.stripe.signature import SignatureInvalid
from postroom.channels.stripe.store import prune_events, prune_raw
from postroom.dev.stripe_events import encode, signed, snapshot_event, subscription_life
from tests.fixtures.stripe import SECRET, Scene

INVOICE = {"id": "in_1", "object": "invoice", "customer": "cus_1"}


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(pool, tmp_path, livemode=True)
    yield scene
    await scene.close()


async def test_an_event_is_booked_whole_with_its_raw_body(scene: Scene) -> None:
    event = snapshot_event("invoice.paid", INVOICE, livemode=True, account="acct_1")
    body = encode(event) + b"\n  "
    received = await scene.ingest.receive(body, signed(body, SECRET)["Stripe-Signature"])
    row = await scene.row("select * from postroom.stripe_event")
    message = await scene.row("select * from postroom.message")
    assert row["raw"] == body
    assert (row["account"], row["event_id"], row["state"]) == ("acct_1", event["id"], "received")
    assert row["message_id"] == message["id"] == received.message_id
    assert row["secret"] not in SECRET
    assert message["key"] == f"acct_1:{event['id']}"
    assert message["ordering_key"] == "acct_1:in_1"
    assert message["tenant"] == "cus_1"
    assert await scene.pool.fetchval("select count(*) from postroom.delivery") == 1


async def test_the_same_event_again_is_a_duplicate(scene: Scene) -> None:
    event = snapshot_event("invoice.paid", INVOICE)
    first = await scene.receive(event)
    together = await asyncio.gather(*(scene.receive(event) for _ in range(20)))
    assert not first.duplicate
    assert all(again.duplicate and again.message_id == first.message_id for again in together)
    assert await scene.count("duplicate") == 20
    assert await scene.pool.fetchval("select count(*) from postroom.stripe_event") == 1


async def test_one_id_in_one_batch_twice_is_booked_once(scene: Scene) -> None:
    event = snapshot_event("invoice.paid", INVOICE)
    received = await asyncio.gather(*(scene.receive(event) for _ in range(50)))
    assert sum(not one.duplicate for one in received) == 1
    assert len({one.message_id for one in received}) == 1
    assert await scene.count("duplicate") == 49


async def test_the_same_id_from_another_account_is_another_event(scene: Scene) -> None:
    event = snapshot_event("invoice.paid", INVOICE)
    await scene.receive(event)
    assert not (await scene.receive({**event, "account": "acct_2"})).duplicate


async def test_what_waits_is_stored_in_few_transactions(scene: Scene) -> None:
    events = [snapshot_event("invoice.paid", {**INVOICE, "id": f"in_{n}"}) for n in range(200)]
    await asyncio.gather(*(scene.receive(event) for event in events))
    commits = await scene.pool.fetchval("select count(distinct xid) from postroom.message")
    assert await scene.pool.fetchval("select count(*) from postroom.stripe_event") == 200
    assert commits <= 3


async def test_one_that_cannot_be_stored_fails_alone(scene: Scene) -> None:
    good = [parse(event) for event in subscription_life(email="a@example.com")]
    bad = msgspec.structs.replace(good[0], id="x" * 300)
    arrivals = [Arrival(event, b"{}", "fingerprint") for event in (*good[:3], bad, *good[3:])]
    results = await asyncio.gather(*(scene.ingest.take(a) for a in arrivals), return_exceptions=True)
    assert isinstance(results[3], Unavailable)
    assert sum(isinstance(result, Exception) for result in results) == 1
    assert await scene.pool.fetchval("select count(*) from postroom.stripe_event") == len(good)


@pytest.mark.parametrize("text", [rb"\u0000", rb"\ud800", rb"\udfff\ud800"])
async def test_a_signed_event_is_kept_whatever_its_text(scene: Scene, text: bytes) -> None:
    body = b'{"id":"evt_1","object":"event","type":"a' + text + b'","data":{"object":{"id":"' + text + b'"}}}'
    await scene.ingest.receive(body, signed(body, SECRET)["Stripe-Signature"])
    assert await scene.pool.fetchval("select raw from postroom.stripe_event") == body
    assert "\ufffd" in await scene.pool.fetchval("select type from postroom.message")


async def test_a_bad_signature_and_a_bad_body_are_counted_as_errors(scene: Scene) -> None:
    body = b'{"object":"event"}'
    with pytest.raises(SignatureInvalid):
        await scene.ingest.receive(body, "t=1,v1=00")
    with pytest.raises(InvalidInput, match="no id"):
        await scene.ingest.receive(body, signed(body, SECRET)["Stripe-Signature"])
    assert await scene.count("error") == 2
    assert await scene.pool.fetchval("select count(*) from postroom.message") == 0


async def test_a_test_event_on_a_live_installation_is_quarantined(scene: Scene) -> None:
    event = snapshot_event("invoice.paid", INVOICE, livemode=False)
    await scene.receive(event)
    assert await scene.state(event["id"]) == "quarantined"


async def test_without_a_database_nothing_is_acknowledged(dsn: str, tmp_path: Path) -> None:
    lost = await open_pool(dsn)
    scene = Scene(lost, tmp_path)
    await lost.close()
    with pytest.raises(Unavailable) as refusal:
        await scene.receive(snapshot_event("invoice.paid", INVOICE))
    assert refusal.value.retry_after_s


async def test_a_database_that_ends_the_session_is_survived(scene: Scene, dsn: str) -> None:
    await scene.receive(snapshot_event("invoice.paid", INVOICE))
    admin = await asyncpg.connect(dsn)
    await admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()"
    )
    await admin.close()
    event = snapshot_event("invoice.paid", INVOICE, livemode=True)
    for _ in range(3):
        try:
            await scene.receive(event)
        except Unavailable:
            continue
        break
    assert await scene.state(event["id"]) == "received"


async def test_raw_bodies_are_emptied_when_their_time_has_come(scene: Scene) -> None:
    await scene.receive(snapshot_event("invoice.paid", INVOICE))
    await scene.receive(snapshot_event("invoice.paid", INVOICE))
    await scene.pool.execute(
        "update postroom.stripe_event set received_at = now() - interval '31 days' "
        "where event_id = (select min(event_id) from postroom.stripe_event)"
    )
    assert await prune_raw(scene.pool, days=30, batch_max=10) == 1  # type: ignore[arg-type]
    assert await scene.pool.fetchval("select count(*) from postroom.stripe_event where raw is null") == 1


@pytest.mark.rows_by_hand
async def test_an_event_is_forgotten_when_its_message_is_and_not_before(scene: Scene) -> None:
    for _ in range(3):
        await scene.receive(snapshot_event("invoice.paid", INVOICE))
    old, kept, _ = await scene.pool.fetch("select message_id as id from postroom.stripe_event order by 1")
    for event, nr in ((old, 1), (kept, 2)):  # ids of the year 2020
        await scene.pool.execute(
            "update postroom.stripe_event set message_id = $2 where message_id = $1",
            event["id"], UUID(f"016f5e66e800700080000000000000{nr:02}"),
        )  # fmt: skip
    await scene.pool.execute(
        "update postroom.message set id = '016f5e66-e800-7000-8000-000000000002' where id = $1", kept["id"]
    )
    await scene.pool.execute("delete from postroom.message where id = $1", old["id"])
    assert await prune_events(scene.pool, days=400, batch_max=10) == 1  # type: ignore[arg-type]
    assert await scene.pool.fetchval("select count(*) from postroom.stripe_event") == 2
