"""An effect that refers to its event is as good as one that repeats it, for whoever delivers or reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.base import json
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.encryption_keys import NamedKey
from postroom.base.settings import RetentionSettings
from postroom.channels.exports.model import Group, Partition
from postroom.channels.exports.store import add_records, list_memberships, list_records
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.engine.sources import Sources
from postroom.outbox.ledger.retention import retention_job
from postroom.outbox.ledger.story import fetch_message
from postroom.outbox.model import Channel
from postroom.outbox.references import Source, complete, refer, source_of
from postroom.worker.model import JobContext
from tests.fixtures.engine import Engine, ScriptedAdapter
from tests.fixtures.roles import pool_as
from tests.fixtures.stripe import Scene

ROUTES = """
[[route]]
on = "invoice.paid"
email   = { template = "receipt", to = "{{ object.customer_email }}" }
webhook = { url = "https://example.com/in", tenant = "acme", data = "{{ object }}" }
export  = { dataset = "invoices" }

[[route]]
on = "invoice.voided"
fetch = true
export  = { dataset = "invoices" }
"""
HOOK = "https://example.com/in"
INVOICE: dict[str, Any] = {
    "id": "in_1",
    "object": "invoice",
    "customer_email": "ann@example.com",
    "tax": 1.10,
    "note": "ü" * 900,
}
EFFECTS = "select id, channel, payload::text as payload from postroom.message where channel <> 'stripe'"

# What PostgreSQL can keep: an event that holds anything else has been cleaned when it came.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=3)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=6,
)


@given(plain, plain, st.sets(st.sampled_from("abc")))
def test_what_was_left_out_comes_back(value: object, other: object, shared: set[str]) -> None:
    event: dict[str, Any] = {"id": "evt", "data": {"object": {"value": value}}}
    payload = {
        name: {"object": event["data"]["object"], "event": event} if name in shared else {"own": other}
        for name in "abc"
    }
    kept = refer(payload, source=UUID(int=5), event=event)
    assert (kept is payload) == (not shared)
    if shared:
        source = Source.of(json.encode(event))
        assert source is not None
        assert source_of(json.encode(kept)) == UUID(int=5)
        assert json.decode(complete(json.encode(kept), source)) == payload


def test_only_the_very_object_counts_and_only_all_of_a_field() -> None:
    event: dict[str, Any] = {"id": "evt", "data": {"object": {"id": "in_1"}}}
    payloads: list[dict[str, Any]] = [
        {"data": {"id": "in_1"}},
        {"data": {"it": event, "own": 1}},
        {"data": {}},
        {"data": [event]},
    ]
    for payload in payloads:
        assert refer(payload, source=UUID(int=5), event=event) is payload


@pytest.mark.parametrize("event", [{}, {"data": None}, {"data": {}}, {"data": {"object": None}}])
def test_an_event_without_an_object_is_repeated(event: dict[str, Any]) -> None:
    payload = {"event": event, "nothing": None, "object": event.get("data")}
    assert refer(payload, source=UUID(int=5), event=event) is payload


@pytest.fixture
def scene(pool: Pool, tmp_path: Path) -> Scene:
    return Scene(pool, tmp_path, routes=ROUTES, refers=True)


async def delivered(dsn: str, pool: Pool, channel: Channel, sources: Sources | None = None) -> list[Any]:
    """What an adapter is handed of a channel, by a runner that has not seen the events."""
    adapter = ScriptedAdapter(channel=channel)
    engine = await Engine(dsn, pool, adapter, sources=sources).start()
    await engine.drain()
    return [json.decode(claim.payload) for claim in adapter.seen]


async def test_effects_are_small_and_arrive_whole(dsn: str, pool: Pool, scene: Scene) -> None:
    event = snapshot_event("invoice.paid", INVOICE)
    await scene.process(event)
    rows = {row["channel"]: row for row in await pool.fetch(EFFECTS)}
    assert all(len(row["payload"]) < 250 for row in rows.values())
    whole: dict[str, Any] = {
        "email": {
            "to": "ann@example.com",
            "template": "receipt",
            "data": {"object": INVOICE, "event": event},
        },
        "webhook": {
            "url": HOOK,
            "tenant": "acme",
            "type": "invoice.paid",
            "data": INVOICE,
        },
        "export": {"dataset": "invoices", "record": INVOICE},
    }
    for channel, payload in whole.items():
        assert await delivered(dsn, pool, Channel(channel)) == [payload]
        async with pool.acquire() as conn:
            assert (await fetch_message(conn, rows[channel]["id"])).payload == payload


async def test_a_small_memory_is_enough(dsn: str, pool: Pool, scene: Scene) -> None:
    for _ in range(5):
        await scene.process(snapshot_event("invoice.paid", INVOICE))
    narrow = Sources(pool=pool_as(pool, "runner"), clock=SystemClock(), bytes_max=1)
    assert [each["record"] for each in await delivered(dsn, pool, Channel.EXPORT, narrow)] == [INVOICE] * 5


async def test_a_record_in_a_file_is_whole_digit_for_digit(pool: Pool, scene: Scene) -> None:
    await scene.process(snapshot_event("invoice.paid", INVOICE))
    message_id = await pool.fetchval("select id from postroom.message where channel = 'export'")
    group = Group(Partition("invoices/acme", "invoices"), (message_id,), 9)
    async with transaction(pool) as conn:
        await add_records(conn, groups=[group], roll_s=0)
        file = (await list_memberships(conn, message_ids=[message_id]))[message_id]
        [record] = await list_records(conn, file_id=file.id, keyring=NO_KEYS)
        assert json.decode(record.record) == INVOICE
        assert '"tax": 1.1' in record.record
        await conn.execute("update postroom.message set payload = '{}' where channel = 'stripe'")
        assert await list_records(conn, file_id=file.id, keyring=NO_KEYS) == []


async def test_what_was_fetched_is_repeated(pool: Pool, tmp_path: Path) -> None:
    stand_in = StripeStandIn()
    await stand_in.start()
    try:
        stand_in.put(INVOICE | {"tax": 7})
        scene = Scene(pool, tmp_path, routes=ROUTES, stand_in=stand_in, refers=True)
        await scene.process(snapshot_event("invoice.voided", INVOICE))
        assert await scene.sent() == [{"dataset": "invoices", "record": INVOICE | {"tax": 7}}]
        await scene.close()
    finally:
        await stand_in.stop()


@pytest.mark.rows_by_hand
async def test_beside_a_process_of_another_version_everything_is_repeated(pool: Pool, scene: Scene) -> None:
    await pool.execute(
        "insert into postroom.worker (host, pid, role, version) values ('h', 1, 'jobs-runner', '0.0.1')"
    )
    await scene.process(snapshot_event("invoice.paid", INVOICE))
    assert await scene.sent() == [{"dataset": "invoices", "record": INVOICE}]


async def test_under_encryption_everything_is_repeated(pool: Pool) -> None:
    keyring = Keyring([NamedKey("first", b"k" * 32)])
    assert not await Sources(pool=pool_as(pool, "runner"), clock=SystemClock(), keyring=keyring).understood()
    assert await Sources(pool=pool_as(pool, "runner"), clock=SystemClock()).understood()


async def test_without_its_event_an_effect_is_dead_and_says_so(dsn: str, pool: Pool, scene: Scene) -> None:
    await scene.process(snapshot_event("invoice.paid", INVOICE))
    await pool.execute("update postroom.message set payload = '{}' where channel = 'stripe'")
    assert await delivered(dsn, pool, Channel.WEBHOOK) == []
    dead = await scene.row("select * from postroom.dead_letter")
    assert (dead["code"], dead["cause"]) == ("event_gone", "ours")
    async with pool.acquire() as conn:
        story = await fetch_message(conn, dead["message_id"])
    assert "no longer kept" in story.payload["$unreadable"]


async def retain(pool: Pool, keep: RetentionSettings) -> int:
    """The payload's size of the event, after retention."""
    await retention_job(pool=pool_as(pool, "runner"), keep=keep).run(JobContext(once=True))
    size: int = await pool.fetchval(
        "select coalesce(max(length(payload::text)), 0) from postroom.message where channel = 'stripe'"
    )
    return size


@pytest.mark.rows_by_hand
async def test_an_event_stays_while_an_effect_of_it_waits(dsn: str, pool: Pool, scene: Scene) -> None:
    await scene.process(snapshot_event("invoice.paid", INVOICE))
    await delivered(dsn, pool, Channel.WEBHOOK)
    await delivered(dsn, pool, Channel.EMAIL)
    await pool.execute("update postroom.message set created_at = now() - interval '500 days'")
    await pool.execute("update postroom.ledger_fold set xid = 1 << 60")
    keep = RetentionSettings()
    assert await retain(pool, keep) > 900
    assert len(await delivered(dsn, pool, Channel.EXPORT)) == 1


async def test_a_publisher_reads_no_event_through_a_reference(dsn: str, pool: Pool, scene: Scene) -> None:
    received = await scene.receive(snapshot_event("invoice.paid", INVOICE))
    name = f"publisher_{uuid4().hex[:8]}"
    await pool.execute(f"create role {name} login password 'x' in role postroom_publisher")
    forged = {
        "$": f"event:1:{received.message_id}",
        "$with": {"data": "event"},
        "url": "https://evil.example/",
    }
    conn = await asyncpg.connect(dsn, user=name, password="x")
    try:
        for call in (
            "select postroom.publish('webhook', $1::text::jsonb, tenant => 't', type => 'y')",
            "select postroom.publish_many(jsonb_build_array(jsonb_build_object("
            "'channel', 'webhook', 'tenant', 't', 'type', 'y', 'payload', $1::text::jsonb)))",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="cannot refer to an event"):
                await conn.execute(call, json.encode(forged))
    finally:
        await conn.close()
        await pool.execute(f"drop role {name}")
