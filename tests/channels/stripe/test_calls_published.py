"""Calls to Stripe come from every entrance, and nothing of them can be read where payloads are encrypted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.settings import Settings
from postroom.base.stripe_settings import StripeSettings
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.encryption.keyring import keyring_of
from postroom.outbox.engine.sources import Sources
from postroom.outbox.model import Message
from postroom.outbox.publish import publish
from tests.fixtures.api import running_api
from tests.fixtures.encryption import NEW, keys, places_of
from tests.fixtures.engine import AT_ONCE, AdapterEngine
from tests.fixtures.stripe import Scene
from tests.fixtures.stripe_calls import call_adapter
from tests.processes.commands import run

DISPUTE = {"id": "dp_1", "object": "dispute", "reason": "fraudulent", "evidence": {"note": "long " * 100}}
ROUTES = """
[[route]]
on = "charge.dispute.created"
stripe_api = { path = "/v1/disputes/{{ object.id }}", params = { evidence = "{{ object.evidence }}" } }
"""
HANDLERS = """
from postroom import on

@on("charge.dispute.created")
async def close(event, tx):
    await tx.publish(channel="stripe_api", payload={
        "method": "POST", "path": f"/v1/disputes/{event.object_id}/close", "params": {}})
"""
PLANTED = "planted-4711-text"
ADDRESS = "planted.4711@example.com"
REFUND = {"method": "POST", "path": "/v1/refunds", "params": {"reason": PLANTED, "mail": ADDRESS}}


async def drain(dsn: str, pool: Pool, stand_in: StripeStandIn, **options: Any) -> None:
    """One runner's part of the channel. `options`: the relay's."""
    adapter = call_adapter(pool, stand_in, keyring=options.get("keyring") or keyring_of(keys()))
    await (await AdapterEngine(dsn, pool, adapter, AT_ONCE, **options).start()).drain()
    await adapter.close()


@pytest.mark.parametrize("refers", [False, True], ids=["repeats", "refers"])
async def test_routes_and_handlers_call_stripe(
    dsn: str, pool: Pool, tmp_path: Path, stand_in: StripeStandIn, refers: bool
) -> None:
    """Once, however often their event is processed; also where the payload refers to the event."""
    scene = Scene(pool, tmp_path, routes=ROUTES, handlers=HANDLERS, refers=refers)
    event = snapshot_event("charge.dispute.created", DISPUTE, event_id="evt_1")
    await scene.process(event)
    await scene.process(event)
    await scene.close()
    await drain(dsn, pool, stand_in, sources=Sources(pool=pool, clock=SystemClock()))
    by_path = {each.path: each.params for each in stand_in.calls.done}
    assert len(stand_in.calls.done) == 2
    assert by_path == {"/v1/disputes/dp_1": {"evidence": DISPUTE["evidence"]}, "/v1/disputes/dp_1/close": {}}


async def test_http_and_the_command_line_refuse_what_can_be_no_call(dsn: str, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, stripe=StripeSettings(api_key=SecretStr("sk_test_x")))
    wrong = {**REFUND, "path": "https://example.com/v1/refunds"}
    async with running_api(dsn, settings) as api:
        taken = await api.post("/v1/events", json={"channel": "stripe_api", "payload": REFUND})
        assert taken.status == 201, taken.text
        refused = await api.post("/v1/events", json={"channel": "stripe_api", "payload": wrong})
        assert (refused.status, refused.json["field"]) == (422, "path")
    named = {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(tmp_path)}
    command = ("publish", "stripe_api", "--payload")
    done = run("postroom", *command, json.dumps(REFUND), home=tmp_path, settings=named)
    assert done.code == 0, done.err
    done = run("postroom", *command, json.dumps(wrong), home=tmp_path, settings=named)
    assert done.code != 0
    assert "path" in done.err


@pytest.mark.parametrize("refused", [False, True], ids=["done", "refused"])
async def test_nothing_readable_is_in_any_table(
    dsn: str, pool: Pool, stand_in: StripeStandIn, refused: bool
) -> None:
    """Neither of what was sent, nor of what Stripe says, which repeats it."""
    keyring = keyring_of(keys(NEW))
    if refused:
        stand_in.calls.declines["/v1/refunds"] = "card_declined"
    async with transaction(pool) as conn:
        await publish(conn, Message(channel="stripe_api", payload=REFUND), keyring=keyring)
    await drain(dsn, pool, stand_in, keyring=keyring)
    assert len(stand_in.calls.arrived) == 1
    assert stand_in.calls.arrived[0].params["reason"] == PLANTED
    assert await pool.fetchval("select count(*) from postroom.dead_letter") == refused
    for planted in (PLANTED, ADDRESS):
        assert await places_of(pool, planted) == set()


async def test_without_keys_a_refusal_is_told_in_stripes_words(
    dsn: str, pool: Pool, stand_in: StripeStandIn
) -> None:
    stand_in.calls.declines["/v1/refunds"] = "card_declined"
    async with transaction(pool) as conn:
        await publish(conn, Message(channel="stripe_api", payload={**REFUND, "params": {"charge": "ch_1"}}))
    await drain(dsn, pool, stand_in)
    reason = await pool.fetchval("select reason from postroom.dead_letter")
    assert "This cannot be done: {…: 'ch_1'}" in reason
