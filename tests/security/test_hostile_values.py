"""Values made to break what reads them: templates, routes, events, webhooks, encrypted texts, answers."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroom.base import json
from postroom.base.encryption_keys import NamedKey
from postroom.base.errors import InvalidInput
from postroom.base.tracing import read_traceparent
from postroom.channels.email.template import (
    SUBJECT_CHARACTERS_MAX,
    TemplateFailed,
    TemplateFolders,
    Templates,
)
from postroom.channels.stripe.event import decode, parse
from postroom.channels.stripe.routes import RouteFailed, Routes
from postroom.channels.stripe.routes_file import load_routes
from postroom.channels.webhooks.answer import retry_after_s
from postroom.channels.webhooks.payload import build_body, check_payload, read_payload
from postroom.encryption.keyring import Keyring, Unreadable
from postroom.outbox.encryption import open_payload

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = settings(
    max_examples=150,
    deadline=None,  # a busy machine is no fault
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
hostile = st.sampled_from(
    [
        "",
        "a\r\nBcc: eve@example.com",
        "{{ 7*7 }}",
        "<mj-raw><script>x</script></mj-raw>",
        "</mj-text>",
        "&#x0a;",
        "\u202e",
        "\x00",
        "=HYPERLINK(1)",
        "x" * 5_000,
        "%s%n",
        "../..",
        "http://[",
        10**400,
        -1,
        1e308,
        math.nan,
        [],
        {},
    ]
)
INVOICE = st.fixed_dictionaries(
    {},
    optional={
        name: anything | hostile
        for name in (
            "id",
            "object",
            "customer",
            "customer_email",
            "customer_name",
            "amount_paid",
            "amount_due",
            "currency",
            "created",
            "lines",
            "number",
            "hosted_invoice_url",
            "invoice_pdf",
            "items",
            "status",
        )
    },
)


@QUICK
@given(
    st.sampled_from(TemplateFolders(None).names()),
    st.dictionaries(st.sampled_from(["object", "event", "previous", "x"]), INVOICE | anything, max_size=4),
)
def test_no_data_breaks_a_shipped_template(name: str, data: dict[str, Any]) -> None:
    try:
        mail = Templates(TemplateFolders(None)).render(name, data)
    except TemplateFailed:
        return
    assert 0 < len(mail.subject) <= SUBJECT_CHARACTERS_MAX
    assert not set(mail.subject) & set("\r\n\x0b\x0c\x85\u2028\u2029")
    assert "<script>" not in mail.html


PIECES = st.sampled_from(
    [
        "{{ ",
        " }}",
        "{% ",
        " %}",
        "{# ",
        " #}",
        "{{ object }}",
        "{{ object.x }}",
        "{% for a in object %}",
        "{% endfor %}",
        "{% if object %}",
        "{% endif %}",
        "{% set a = ",
        "{% include 'receipt.txt' %}",
        "{% include a %}",
        "{% import ",
        "{% extends '../x' %}",
        "{% macro m() %}",
        "{% endmacro %}",
        "{{ m() }}",
        " | money('eur')",
        " | date",
        " | map(",
        " | attr('__class__')",
        "''",
        "[0]",
        "(",
        ")",
        ".__class__",
        " ~ ",
        " ** 9",
        "9" * 30,
        " % ",
        "loop",
        "self",
        "<mjml>",
        "<mj-body>",
        "<mj-text>",
        "</mj-text>",
        "</mj-body>",
        "</mjml>",
        "<!--",
        "&amp;",
        "\x00",
        "ä🧨",
    ]
)
SOURCE = st.lists(PIECES, max_size=12).map("".join)


@QUICK
@given(SOURCE, SOURCE, SOURCE, INVOICE)
def test_no_text_of_a_template_breaks_the_renderer(
    tmp_path: Path, subject: str, text: str, mjml: str, invoice: dict[str, Any]
) -> None:
    for kind, source in (("subject", subject), ("txt", text), ("mjml", mjml)):
        (tmp_path / f"odd.{kind}").write_text(source, encoding="utf-8")
    try:
        mail = Templates(TemplateFolders(tmp_path)).render("odd", {"object": invoice})
    except TemplateFailed as refused:
        assert "odd" in str(refused)  # noqa: PT017 - it may or may not be refused
        return
    assert "\n" not in mail.subject


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Routes:
    path = tmp_path_factory.mktemp("routes") / "routes.toml"
    path.write_text("""
[[route]]
on = "*"
email = { template = "receipt", to = "{{ object.customer_email }}" }
webhook = { tenant = "{{ object.customer }}-{{ object.id }}", type = "x" }
[[route]]
on = "invoice.*"
when = "{{ object.amount_paid > 0 and object.lines.data[0].id }}"
optional = true
export = { dataset = "invoices", record = { sum = "{{ object.amount_paid * 2 }}", of = "{{ object['x'] }}" } }
""")
    return load_routes(path, checks={})


@QUICK
@given(INVOICE | anything, anything)
def test_no_object_of_stripe_breaks_a_route(routes: Routes, object_: Any, previous: Any) -> None:
    data = {"object": object_, "previous_attributes": previous}
    body = {"id": "evt_1", "type": "invoice.paid", "data": data}
    try:
        raw = msgspec.json.encode(body)
    except (OverflowError, UnicodeError):
        return
    event = parse(decode(raw))
    for route in routes.matching("invoice.paid"):
        try:
            drafts = route.drafts(event)
        except RouteFailed as refused:
            assert route.name in str(refused)  # noqa: PT017 - as above
            continue
        for draft in drafts:
            json.decode(json.encode(draft.payload))


@QUICK
@given(
    st.binary(max_size=200)
    | anything.map(lambda v: repr(v).encode("utf-8", "replace"))
    | SOURCE.map(str.encode)
)
def test_no_signed_bytes_break_the_reading_of_an_event(raw: bytes) -> None:
    try:
        event = parse(decode(raw))
    except InvalidInput:
        return
    json.encode(event.body)


@QUICK
@given(
    st.dictionaries(
        st.sampled_from(["tenant", "url", "type", "data", "x"]),
        anything | hostile | st.just("order.paid"),
        max_size=5,
    )
)
def test_no_webhook_payload_breaks_the_check_and_what_passes_can_be_sent(payload: dict[str, Any]) -> None:
    try:
        check_payload(payload, allow_private=False)
        text = json.encode(payload)
    except InvalidInput as refused:
        assert refused.detail  # noqa: PT017 - as above
        return
    type_ = payload["type"]
    body = build_body(
        read_payload(text, tenant=payload.get("tenant") or "", type_=type_),
        type_=type_,
        created_at=datetime.now(UTC),
    )
    assert json.decode(body)["type"] == type_


@QUICK
@given(
    st.text(max_size=60) | st.text(alphabet="sealed:1:kAB+/=", max_size=80).map(lambda t: "sealed:1:k:" + t)
)
def test_no_text_opens_without_having_been_sealed(text: str) -> None:
    keyring = Keyring([NamedKey("k", b"k" * 32)])
    with pytest.raises(Unreadable):
        keyring.open(text, about="message:1")
    payload = msgspec.json.encode({"$": text}).decode().replace('"$":', '"$": ')
    try:
        assert open_payload(UUID(int=1), payload, keyring, channel="email") == payload
    except Unreadable:
        assert text.startswith("sealed:1:")


@QUICK
@given(st.text(max_size=80) | st.integers().map(str) | st.just("Wed, 21 Oct 9999 07:28:00 GMT"))
def test_no_header_of_a_stranger_breaks_its_reader(text: str) -> None:
    assert (retry_after_s(text, NOW) or 0.0) >= 0.0
    found = read_traceparent(text)
    assert found is None or found.isascii()
