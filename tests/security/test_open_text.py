"""Where encryption is required, nothing that lies open in the database is believed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from postroom.admin import endpoints as actions
from postroom.admin.audit import Actor
from postroom.base import json
from postroom.base.db import Pool, transaction
from postroom.base.errors import SettingsInvalid
from postroom.base.settings import load_settings
from postroom.channels.stripe.client import EventQuery
from postroom.channels.stripe.encryption import open_raw
from postroom.channels.webhooks import endpoints
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.encryption.keyring import OpenRefused, keyring_of
from postroom.health.doctor import diagnose
from postroom.outbox.encryption import is_encrypted_payload
from postroom.outbox.ledger.story import fetch_message
from postroom.outbox.model import Message
from postroom.outbox.publish import publish_many
from postroom.wiring import open_backfill
from tests.fixtures.api import running_api
from tests.fixtures.encryption import NEW, OLD, Product, keys, places_of, product, stripe_event
from tests.processes.commands import run

PLANTED = "Xylograph Quuxbury"
BEFORE = datetime.now(UTC) - timedelta(hours=1)
LATER = datetime.now(UTC) + timedelta(hours=1)
REQUIRING = keyring_of(keys(NEW, required_from=BEFORE))
ALL = ("stripe-events", "outbox-delivery")


@pytest.fixture
async def scene(dsn: str, tmp_path: Path) -> AsyncIterator[Product]:
    async with product(dsn, tmp_path) as running:
        running.encryption = {"required_from": BEFORE}
        yield running


def mail(to: str = "a@example.com") -> dict[str, Any]:
    return {"to": to, "subject": PLANTED, "text": "t"}


async def put_by_sql(pool: Pool, payload: dict[str, Any], channel: str = "email") -> UUID:
    message_id: UUID = await pool.fetchval(
        "select postroom.publish($1, $2::jsonb)", channel, json.encode(payload)
    )
    return message_id


async def payload_of(pool: Pool, message_id: UUID) -> str:
    text: str = await pool.fetchval("select payload::text from postroom.message where id = $1", message_id)
    return text


async def loaded() -> None:
    """Routes and handlers are no matter here."""


async def test_what_somebody_writes_into_the_database_is_neither_sent_nor_shown_nor_sealed(
    scene: Product, pool: Pool
) -> None:
    """A mail, an export and a Stripe event that were ours, each replaced by open text."""
    messages = [
        Message(channel="email", payload=mail()),
        Message(channel="export", payload={"dataset": "d", "record": {"n": 1}}),
        Message(channel="email", payload=mail("untouched@example.com")),
    ]
    body, headers = stripe_event("evt_1", {"id": "in_1", "object": "invoice"})
    async with running_api(scene.dsn, scene.settings(NEW)) as api:
        assert (await api.post("/v1/stripe/webhook", data=body, headers=headers)).status == 200
    async with transaction(pool) as conn:
        email, export, _ = [each.id for each in await publish_many(conn, messages, keyring=REQUIRING)]
    event: UUID = await pool.fetchval("select id from postroom.message where channel = 'stripe'")
    forged = {
        email: mail("thief@example.com"),
        export: {"dataset": "d", "record": {"n": 1_000_000}},
        event: json.decode(body),
    }
    for message_id, payload in forged.items():
        text = json.encode(payload)
        await pool.execute("update postroom.message set payload = $2::jsonb where id = $1", message_id, text)
    await scene.run("sealing", *ALL, "sealing", keys=(NEW,))

    assert [each.recipients for each in await scene.mailbox.wait_for(1)] == [("untouched@example.com",)]
    assert not list((scene.folder / "out").rglob("*.gz"))
    letters = await pool.fetch("select message_id, cause, code from postroom.dead_letter")
    assert {row["message_id"] for row in letters} == set(forged)
    assert {(row["cause"], row["code"]) for row in letters} == {("ours", "payload_open")}
    settings = {
        "POSTROOM_DATABASE_URL": scene.dsn,
        "POSTROOM_STATE_DIR": str(scene.folder),
        "POSTROOM_ENCRYPTION__KEYS": NEW,
        "POSTROOM_ENCRYPTION__REQUIRED_FROM": BEFORE.isoformat(),
    }
    rotated = run("postroom", "encryption", "rotate", "--json", home=scene.folder, settings=settings)
    assert {row["table"]: row["unreadable"] for row in rotated.json}["messages"] == len(forged)
    for message_id in forged:
        assert not is_encrypted_payload(await payload_of(pool, message_id))
        async with pool.acquire() as conn:
            shown = (await fetch_message(conn, message_id, keyring=REQUIRING)).payload
        assert "POSTROOM_ENCRYPTION__REQUIRED_FROM" in shown["$unreadable"]
    found = [each for each in await diagnose(scene.settings(NEW), scene.dsn, load_effects=loaded)
             if each.subject == "encryption"]  # fmt: skip
    assert [(each.level, each.text.partition(" ")[0]) for each in found] == [("error", "3")]


async def test_an_open_record_of_a_file_is_not_exported(scene: Product, pool: Pool) -> None:
    async with transaction(pool) as conn:
        [made] = await publish_many(
            conn, [Message(channel="export", payload={"dataset": "d", "record": {"n": 1}})], keyring=REQUIRING
        )
        other = await put_by_sql(pool, {"dataset": "d", "record": {"n": 2}}, channel="export")
    file_id = UUID(int=1)
    await pool.execute("insert into postroom.export_file (id, dataset, records) values ($1, 'd', 2)", file_id)
    for position, message_id in enumerate((made.id, other), 1):
        await pool.execute(
            "insert into postroom.export_record (message_id, file_id, position) values ($1, $2, $3)",
            message_id, file_id, position,
        )  # fmt: skip
    await scene.run("outbox-delivery", keys=(NEW,))
    assert not list((scene.folder / "out").rglob("*.gz"))
    assert await pool.fetchval("select count(*) from postroom.dead_letter where code = 'payload_open'") == 2


async def test_until_then_it_is_taken_and_the_doctor_warns(scene: Product, pool: Pool) -> None:
    scene.encryption = {"required_from": LATER}
    await scene.run("sealing", keys=(NEW,))
    first = await put_by_sql(pool, mail())
    found = [each for each in await diagnose(scene.settings(NEW), scene.dsn, load_effects=loaded)
             if each.subject == "encryption"]  # fmt: skip
    assert [(each.level, each.command) for each in found] == [("warning", "postroom encryption rotate")]
    await scene.run("sealing", keys=(NEW,))
    assert is_encrypted_payload(await payload_of(pool, first))
    await put_by_sql(pool, mail())
    await scene.run("outbox-delivery", keys=(NEW,))
    assert len(await scene.mailbox.wait_for(2)) == 2


async def test_a_channel_that_sql_publishes_to_may_be_left_open(scene: Product, pool: Pool) -> None:
    scene.encryption["open_channels"] = "email, webhook"
    await scene.run("sealing", keys=(NEW,))
    sealed, early = await put_by_sql(pool, mail()), UUID(int=0)
    await scene.run("sealing", keys=(NEW,))
    early = await put_by_sql(pool, mail())
    refused = await put_by_sql(pool, {"dataset": "d", "record": {"n": PLANTED}}, channel="export")
    assert is_encrypted_payload(await payload_of(pool, sealed))
    await scene.run("outbox-delivery", "sealing", keys=(NEW,))
    assert len(await scene.mailbox.wait_for(2)) == 2
    assert is_encrypted_payload(await payload_of(pool, early))
    [letter] = await pool.fetch("select message_id, code from postroom.dead_letter")
    assert tuple(letter) == (refused, "payload_open")


async def test_what_retention_has_emptied_is_no_open_payload(pool: Pool) -> None:
    async with transaction(pool) as conn:
        [made] = await publish_many(conn, [Message(channel="email", payload=mail())], keyring=REQUIRING)
        await conn.execute("update postroom.message set payload = '{}' where id = $1", made.id)
        assert (await fetch_message(conn, made.id, keyring=REQUIRING)).payload == {}


async def test_a_ping_lies_encrypted(scene: Product, pool: Pool) -> None:
    async with transaction(pool) as conn:
        made = await endpoints.create_endpoint(
            conn, tenant="acme", url=scene.receiver.url("/b"), allow_private=True, keyring=REQUIRING
        )
        scene.receiver.secrets.append(made.secret.get_secret_value())
        await actions.ping(
            conn, made.endpoint.id, data={"who": PLANTED}, keyring=REQUIRING, actor=Actor("test")
        )
    assert await places_of(pool, PLANTED) == set()
    await scene.run("outbox-delivery", keys=(NEW,))
    [received] = await scene.receiver.wait_for(1)
    assert PLANTED.encode() in received.body


async def test_what_a_backfill_fetches_lies_encrypted(scene: Product, pool: Pool) -> None:
    stand_in = StripeStandIn()
    await stand_in.start()
    stand_in.add_event(
        snapshot_event("product.updated", {"id": "prod_1", "object": "product", "name": PLANTED})
    )
    try:
        settings = scene.settings(NEW)
        settings.stripe.api_key, settings.stripe.api_base = SecretStr("sk_test_1"), stand_in.url
        async with open_backfill(settings, scene.dsn) as backfill:
            assert (await backfill.run(EventQuery(since=BEFORE))).taken == 1
    finally:
        await stand_in.stop()
    assert await places_of(pool, PLANTED) == set()


def test_a_body_that_lies_open_is_refused() -> None:
    with pytest.raises(OpenRefused):
        open_raw(UUID(int=1), b"{}", REQUIRING)
    assert open_raw(UUID(int=1), b"{}", keyring_of(keys(NEW, required_from=LATER))) == b"{}"


@pytest.mark.parametrize("keys", [None, OLD])
def test_it_needs_a_key_that_derives(monkeypatch: pytest.MonkeyPatch, keys: str | None) -> None:
    monkeypatch.setenv("POSTROOM_ENCRYPTION__REQUIRED_FROM", LATER.isoformat())
    if keys:
        monkeypatch.setenv("POSTROOM_ENCRYPTION__KEYS", keys)
    with pytest.raises(SettingsInvalid, match="POSTROOM_ENCRYPTION__REQUIRED_FROM: needs a first key"):
        load_settings()
