"""Routes say what they mean, and what they cannot mean is refused at start with its place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postroom.base.errors import SettingsInvalid
from postroom.channels.stripe.effects import messages_of
from postroom.channels.stripe.event import parse
from postroom.channels.stripe.routes import Draft, RouteFailed, Routes
from postroom.channels.stripe.routes_file import load_routes
from postroom.channels.stripe.transaction import Origin
from postroom.dev.environment import DEMO_ROUTES
from postroom.dev.stripe_events import snapshot_event

DESIGN = """
[[route]]
on = "invoice.paid"
email   = { template = "receipt", to = "{{ object.customer_email }}" }
webhook = { tenant = "{{ object.customer }}", type = "invoice.paid" }
export  = { dataset = "invoices" }
"""
INVOICE = {
    "id": "in_1",
    "object": "invoice",
    "customer": "cus_1",
    "customer_email": "a@example.com",
    "number": "0007",
    "amount_paid": 2900,
    "items": {"data": [{"price": "price_1"}]},
}


def routes(tmp_path: Path, text: str) -> Routes:
    path = tmp_path / "routes.toml"
    path.write_text(text, encoding="utf-8")
    return load_routes(path, checks={})


def drafts(loaded: Routes, object: dict[str, Any] = INVOICE, type: str = "invoice.paid") -> list[Draft]:
    event = parse(snapshot_event(type, object, event_id="evt_1", previous={"status": "open"}))
    return [draft for route in loaded.matching(type) for draft in route.drafts(event)]


def faults(tmp_path: Path, text: str) -> str:
    with pytest.raises(SettingsInvalid) as refusal:
        routes(tmp_path, text)
    return "\n".join(refusal.value.faults)


def test_the_designs_example_causes_three_messages(tmp_path: Path) -> None:
    email, webhook, export = drafts(routes(tmp_path, DESIGN))
    assert email.payload["to"] == "a@example.com"
    assert email.payload["template"] == "receipt"
    assert email.payload["data"]["object"] == INVOICE
    assert email.payload["data"]["event"]["id"] == "evt_1"
    assert webhook.payload == {"tenant": "cus_1", "type": "invoice.paid", "data": INVOICE}
    assert export.payload == {"dataset": "invoices", "record": INVOICE}
    assert len({email.name, webhook.name, export.name}) == 3


def test_what_a_route_sends_may_have_an_end(tmp_path: Path) -> None:
    loaded = routes(tmp_path, DESIGN.replace("email   =", "expires_in_s = 3600\nemail   ="))
    event = parse(snapshot_event("invoice.paid", INVOICE, event_id="evt_1", previous={}))
    now = datetime(2026, 1, 2, tzinfo=UTC)
    messages = messages_of(loaded.routes[0], event, Origin("c", None, now))
    assert [message.expires_at for message in messages] == [now + timedelta(hours=1)] * 3


def test_patterns_match_exactly_by_prefix_or_all(tmp_path: Path) -> None:
    text = "\n".join(
        f'[[route]]\non = "{on}"\nexport = {{ dataset = "{name}" }}'
        for on, name in (("invoice.paid", "one"), ("invoice.*", "two"), ("*", "all"))
    )
    loaded = routes(tmp_path, text)
    assert [d.payload["dataset"] for d in drafts(loaded)] == ["one", "two", "all"]
    assert [d.payload["dataset"] for d in drafts(loaded, type="invoice.voided")] == ["two", "all"]
    assert [d.payload["dataset"] for d in drafts(loaded, type="invoiceitem.created")] == ["all"]


def test_one_expression_keeps_its_type_and_text_stays_text(tmp_path: Path) -> None:
    text = """
[[route]]
on = "invoice.paid"
export = { dataset = "d", record = { cents = "{{ object.amount_paid }}", number = "{{ object.number }}", \
label = "No {{ object.number }}", \
price = "{{ object.items.data[0].price }}", was = "{{ previous.status }}", n = 3 } }
"""
    [draft] = drafts(routes(tmp_path, text))
    assert draft.payload["record"] == {
        "cents": 2900,
        "number": "0007",
        "label": "No 0007",
        "price": "price_1",
        "was": "open",
        "n": 3,
    }


def test_when_decides(tmp_path: Path) -> None:
    text = DESIGN.replace("email   =", 'when = "{{ object.amount_paid > 0 }}"\nemail =')
    loaded = routes(tmp_path, text)
    assert len(drafts(loaded)) == 3
    assert drafts(loaded, {**INVOICE, "amount_paid": 0}) == []


def test_nobody_to_send_to_fails_by_name_unless_optional(tmp_path: Path) -> None:
    nobody = {**INVOICE, "customer_email": None}
    with pytest.raises(RouteFailed, match=r"invoice\.paid/1.*email\.to is empty"):
        drafts(routes(tmp_path, DESIGN), nobody)
    optional = routes(tmp_path, DESIGN.replace("email   =", "optional = true\nemail ="))
    assert [draft.channel for draft in drafts(optional, nobody)] == ["webhook", "export"]


@pytest.mark.parametrize(
    ("changes", "channels"),
    [
        ({}, ["email", "webhook", "export"]),
        ({"customer_email": None}, ["webhook", "export"]),
        ({"amount_paid": 0}, ["webhook", "export"]),  # a trial
    ],
)
def test_the_starter_routes_send_no_receipt_to_nobody_or_for_nothing(
    changes: dict[str, Any], channels: list[str]
) -> None:
    loaded = load_routes(DEMO_ROUTES, checks={})
    assert [draft.channel for draft in drafts(loaded, INVOICE | changes)] == channels


@pytest.mark.parametrize(
    ("billing", "receipt_email", "to"),
    [
        ({"email": "a@example.com"}, None, ["a@example.com"]),
        ({"email": None}, "b@example.com", ["b@example.com"]),
        (None, "b@example.com", ["b@example.com"]),
        ({"email": None}, None, []),
    ],
)
def test_the_starter_routes_tell_of_a_refund_where_there_is_an_address(
    billing: dict[str, Any] | None, receipt_email: str | None, to: list[str]
) -> None:
    charge: dict[str, Any] = {"object": "charge", "id": "ch_1", "amount_refunded": 3_000}
    charge |= {"billing_details": billing, "receipt_email": receipt_email}
    sent = drafts(load_routes(DEMO_ROUTES, checks={}), charge, "charge.refunded")
    assert [draft.payload["to"] for draft in sent] == to


@pytest.mark.parametrize(
    "expression",
    ["{{ object.nothing }}", "to {{ object.nothing }}", "{{ 1 / 0 }}", "{{ object.number + 1 }}"],
)
def test_what_fails_while_rendering_names_the_route(tmp_path: Path, expression: str) -> None:
    text = f'[[route]]\nname = "mine"\non = "invoice.paid"\nexport = {{ dataset = "{expression}" }}'
    with pytest.raises(RouteFailed, match=r"route mine: export\.dataset"):
        drafts(routes(tmp_path, text))


def test_the_sandbox_holds(tmp_path: Path) -> None:
    for escape in ("{{ object.__class__.__mro__ }}", "{{ ''.__class__ }}", "{{ event.update({}) }}"):
        text = f'[[route]]\non = "invoice.paid"\nexport = {{ dataset = "{escape}" }}'
        with pytest.raises(RouteFailed):
            drafts(routes(tmp_path, text))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('emial = { to = "x" }', "unknown key 'emial'; known: on, name, when, fetch"),
        ('email = { too = "x", text = "y" }', "unknown field 'too' of email; known: to, cc"),
        ('email = { to = "x" }', "email lacks its content: one of template, text, html"),
        ('webhook = { type = "x" }', "webhook lacks 'tenant or url'"),
        ('export = { dataset = "{{ object.id" }', "'dataset':"),
        ('export = { dataset = "{{ objekt.id }}" }', "unknown name objekt; known: event, object, previous"),
        ('key = "receipt"', "'key' is the same for all events"),
        ('when = "object.id"', "'when' must be one expression"),
        ('fetch = "yes"', "'fetch' must be a true or false"),
        ("expires_in_s = 0", "'expires_in_s' must be a number of seconds"),
        ("expires_in_s = true", "'expires_in_s' must be a number of seconds"),
        ('name = "a b"', "'a b' is no name"),
        ('export = "invoices"', "'export' must be a table"),
    ],
)
def test_a_typo_is_refused_with_its_line_and_the_known_names(
    tmp_path: Path, line: str, expected: str
) -> None:
    told = faults(
        tmp_path,
        f'# first\n[[route]]\non = "*"\nexport = {{ dataset = "a" }}\n\n[[route]]\non = "*"\n{line}\n',
    )
    assert expected in told
    assert f"{tmp_path / 'routes.toml'}:8: " in told


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ("invioce.paid", "known families: account, "),
        ("invoice.payed", "known names: invoice.paid"),
        ("customer.subscription.update", "customer.subscription.updated"),
        ("invoice.", "is no event type"),
        ("in*", "is no event type"),
        ("invoices.*", "known families"),
    ],
)
def test_an_event_type_that_is_not_known_is_refused(tmp_path: Path, on: str, expected: str) -> None:
    told = faults(tmp_path, f'[[route]]\nexport = {{ dataset = "d" }}\non = "{on}"\n')
    assert expected in told
    assert "routes.toml:3: " in told


@pytest.mark.parametrize(
    ("on", "object_type"),
    [
        ("balance.available", "balance"),
        ("invoice.upcoming", "invoice, which has no id yet"),
        ("entitlements.active_entitlement_summary.updated", "entitlements.active_entitlement_summary"),
        ("customer.discount.*", "discount"),
        ("billing.alert.triggered", "billing.alert_triggered"),
    ],
)
def test_what_cannot_be_fetched_is_refused_and_named(tmp_path: Path, on: str, object_type: str) -> None:
    told = faults(tmp_path, f'[[route]]\nexport = {{ dataset = "d" }}\non = "{on}"\nfetch = true\n')
    assert told.endswith(f"routes.toml:4: 'fetch' cannot be had for '{on}': {NOTHING} {object_type}")


NOTHING = "Stripe retrieves no object of type"


@pytest.mark.parametrize(
    "on",
    [
        *("*", "customer.*", "customer.tax_id.updated", "account.external_account.created"),
        *("capability.updated", "issuing_token.updated", "charge.dispute.closed", "invoice_payment.paid"),
        *("v1.billing.meter.no_meter_found", "sigma.scheduled_query_run.created"),
    ],
)
def test_what_can_be_fetched_is_taken(tmp_path: Path, on: str) -> None:
    text = f'[[route]]\non = "{on}"\nfetch = true\nexport = {{ dataset = "d" }}'
    assert routes(tmp_path, text).routes[0].fetch


def test_a_type_newer_than_this_release_can_be_named(tmp_path: Path) -> None:
    text = '[[route]]\non = "invoice.dreamt"\nunlisted = true\nexport = { dataset = "d" }'
    assert len(drafts(routes(tmp_path, text), type="invoice.dreamt")) == 1


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    told = faults(
        tmp_path, '[[route]]\non = "x.y"\n[[route]]\nemail = { to = "x", text = "y" }\n[[rout]]\na = 1\n'
    )
    assert "routes.toml:1: the route causes nothing" in told
    assert "routes.toml:2: unknown event type 'x.y'" in told
    assert "routes.toml:3: the route lacks 'on'" in told
    assert "unknown table 'rout'" in told


def test_broken_toml_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert "routes.toml:2: not TOML" in faults(tmp_path, "[[route]]\non = \n")
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        load_routes(tmp_path / "absent.toml", checks={})


def test_names_stay_when_a_route_for_another_event_is_put_in_front(tmp_path: Path) -> None:
    before = {draft.name for draft in drafts(routes(tmp_path, DESIGN))}
    other = '[[route]]\non = "customer.created"\nexport = { dataset = "d" }\n'
    assert {draft.name for draft in drafts(routes(tmp_path, other + DESIGN))} == before


LONE = '[[route]]\non = "invoice.paid"\nexport = { dataset = "%s" }\n'


def test_the_only_route_of_an_event_keeps_the_key_it_has_always_had(tmp_path: Path) -> None:
    assert [draft.name for draft in drafts(routes(tmp_path, DESIGN))] == [
        "invoice.paid/1:email",
        "invoice.paid/1:webhook",
        "invoice.paid/1:export",
    ]
    every = '[[route]]\non = "*"\nexport = { dataset = "d" }\n'
    assert [draft.name for draft in drafts(routes(tmp_path, every))] == ["*/1:export"]


def test_two_routes_of_an_event_need_names_and_are_told_which_keep_their_keys(tmp_path: Path) -> None:
    told = faults(tmp_path, LONE % "one" + LONE % "two")
    first, second = told.splitlines()
    assert first.startswith(f"{tmp_path / 'routes.toml'}:2: 2 routes (lines 1, 4) are for 'invoice.paid'")
    assert 'name = "invoice.paid/1" keeps its keys' in first
    assert "routes.toml:5: " in second
    assert 'name = "invoice.paid/2" keeps its keys' in second
    one_named = LONE % "one" + 'name = "mine"\n' + LONE % "two"
    assert "routes.toml:6: 2 routes" in faults(tmp_path, one_named)
    named = LONE % "one" + 'name = "invoice.paid/1"\n' + LONE % "two" + 'name = "invoice.paid/2"\n'
    assert [draft.name for draft in drafts(routes(tmp_path, named))] == [
        "invoice.paid/1:export",
        "invoice.paid/2:export",
    ]


def test_every_default_name_can_be_written_down(tmp_path: Path) -> None:
    for on in ("*", "invoice.*", "customer.subscription.deleted", "v1.billing.meter.error_report_triggered"):
        text = f'[[route]]\nname = "{on}/1"\non = "{on}"\nexport = {{ dataset = "d" }}\n'
        [route] = routes(tmp_path, text).routes
        assert route.name == f"{on}/1"


@pytest.mark.parametrize(
    "names",
    [
        ('name = "a"', 'name = "a"'),
        ('name = "invoice.paid/1"\nformerly = ["a"]', 'name = "a"'),
        ('name = "b"\nformerly = ["a"]', 'name = "c"\nformerly = ["a"]'),
    ],
)
def test_a_name_is_one_routes_only(tmp_path: Path, names: tuple[str, str]) -> None:
    told = faults(tmp_path, "".join(LONE % "d" + name + "\n" for name in names))
    assert "the name 'a' is used by 2 routes" in told


def test_a_routes_name_is_no_handlers(tmp_path: Path) -> None:
    assert "is no name" in faults(tmp_path, LONE % "d" + 'name = "handler/receipt"\n')
    assert "'formerly' must be a list of texts" in faults(tmp_path, LONE % "d" + "formerly = [1]\n")


def test_a_route_has_an_urgency_that_there_is(tmp_path: Path) -> None:
    [route] = routes(tmp_path, LONE % "d" + 'urgency = "bulk"\n').routes
    assert route.urgency == "bulk"
    assert "'urgency' is one of urgent, normal, bulk" in faults(tmp_path, LONE % "d" + 'urgency = "asap"\n')
    assert "'urgency' must be a text" in faults(tmp_path, LONE % "d" + "urgency = 1\n")
