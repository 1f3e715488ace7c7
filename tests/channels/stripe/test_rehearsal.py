"""What an event would cause is told without a database, and where the real thing would fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from postroom.base.errors import InvalidPayload
from postroom.base.operator_code import load_code
from postroom.channels.stripe.effects import Effects
from postroom.channels.stripe.event import parse
from postroom.channels.stripe.loader import load_effects
from postroom.channels.stripe.rehearsal import Rehearsal, list_effects, rehearse
from postroom.dev.stripe_events import snapshot_event
from postroom.outbox.model import Channel

INVOICE = {"id": "in_1", "object": "invoice", "customer_email": "a@example.com"}
ROUTES = """
[[route]]
on = "invoice.paid"
fetch = true
email = { template = "receipt", to = "{{ object.customer_email }}" }
webhook = { tenant = "acme", data = { id = "{{ object.id }}" } }

[[route]]
name = "people"
on = "customer.*"
export = { dataset = "people" }
"""
HANDLERS = """
from postroom import on

@on("invoice.paid")
async def count(event, tx):
    await tx.publish(channel="webhook", tenant="acme", type="counted", payload={"data": {}}, key="first")
    await tx.conn.execute("select 1")
    await tx.publish(channel="export", payload={"dataset": "never", "record": {}})
"""


def effects(tmp_path: Path, *, routes: str = "", handlers: str = "") -> Effects:
    (tmp_path / "routes.toml").write_text(routes, encoding="utf-8")
    (tmp_path / "handlers.py").write_text(handlers, encoding="utf-8")
    return load_effects(
        routes=tmp_path / "routes.toml", code=load_code([str(tmp_path / "handlers.py")]), checks={}
    )


def accept(_payload: dict[str, Any]) -> None:
    """A channel that refuses nothing."""


async def told(loaded: Effects, object: dict[str, Any] = INVOICE) -> Rehearsal:
    event = parse(snapshot_event("invoice.paid", object, event_id="evt_1"))
    return await rehearse(loaded, event, dict.fromkeys(Channel, accept))


def test_every_route_and_handler_is_listed_with_its_keys(tmp_path: Path) -> None:
    listed = list(list_effects(effects(tmp_path, routes=ROUTES, handlers=HANDLERS)))
    assert [(each.on, each.key, each.sends, each.flags) for each in listed] == [
        ("invoice.paid", "invoice.paid/1:email", "template receipt to {{ object.customer_email }}", "fetch"),
        ("invoice.paid", "invoice.paid/1:webhook", "{{ event.type }} to tenant acme", "fetch"),
        ("customer.*", "people:export", "dataset people", ""),
        ("invoice.paid", "handler/count:", "count(), see its code", ""),
    ]


async def test_the_messages_of_an_event_are_those_that_it_would_publish(tmp_path: Path) -> None:
    email, webhook = (await told(effects(tmp_path, routes=ROUTES))).messages
    assert (email.channel, email.key) == ("email", "stripe:self:evt_1:invoice.paid/1:email")
    assert email.payload["to"] == "a@example.com"
    assert (webhook.channel, webhook.payload["data"]) == ("webhook", {"id": "in_1"})
    assert webhook.source == "route invoice.paid/1"


async def test_a_handler_that_needs_the_database_is_named_and_shown_up_to_there(tmp_path: Path) -> None:
    rehearsal = await told(effects(tmp_path, handlers=HANDLERS))
    [message] = rehearsal.messages
    assert (message.key, message.tenant) == ("stripe:self:evt_1:handler/count:first", "acme")
    assert rehearsal.faults == []
    assert any("handler count uses tx.conn" in note for note in rehearsal.notes)


async def test_a_handler_that_hides_its_error_is_named_all_the_same(tmp_path: Path) -> None:
    hidden = HANDLERS.replace(
        '    await tx.conn.execute("select 1")\n',
        '    try:\n        await tx.conn.execute("select 1")\n    except Exception:\n        pass\n',
    )
    rehearsal = await told(effects(tmp_path, handlers=hidden))
    assert len(rehearsal.messages) == 2
    assert any("handler count uses tx.conn" in note for note in rehearsal.notes)


async def test_what_would_fail_is_a_fault_and_the_others_are_shown(tmp_path: Path) -> None:
    raises = HANDLERS.replace('await tx.conn.execute("select 1")', 'raise KeyError("plan")')
    rehearsal = await told(
        effects(tmp_path, routes=ROUTES, handlers=raises), {**INVOICE, "customer_email": None}
    )
    assert "route invoice.paid/1: email.to is empty" in rehearsal.faults[0]
    assert "handler count raised KeyError: 'plan'" in rehearsal.faults[1]
    assert [message.source for message in rehearsal.messages] == ["handler count"]


async def test_what_its_channel_would_refuse_is_a_fault(tmp_path: Path) -> None:
    def refuse(payload: dict[str, Any]) -> None:
        assert payload["tenant"] == "acme", "what stands beside the payload is judged with it"
        raise InvalidPayload("is not good", field="type")

    event = parse(snapshot_event("invoice.paid", INVOICE, event_id="evt_1"))
    checks = {**dict.fromkeys(Channel, accept), Channel.WEBHOOK: refuse}
    rehearsal = await rehearse(effects(tmp_path, handlers=HANDLERS), event, checks)
    assert rehearsal.faults == ["handler count: webhook would end as a dead letter: type: is not good"]


async def test_it_says_that_nothing_is_fetched(tmp_path: Path) -> None:
    assert any("not fetched" in note for note in (await told(effects(tmp_path, routes=ROUTES))).notes)
    unfetched = ROUTES.replace("fetch = true\n", "")
    assert (await told(effects(tmp_path, routes=unfetched))).notes == []
