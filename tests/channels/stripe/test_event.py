"""Events are read whatever they hold; only what has no id cannot be an event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroom.base import json
from postroom.base.errors import InvalidInput
from postroom.channels.stripe.address import address
from postroom.channels.stripe.event import CUT, DEPTH_MAX, _clean, decode, parse
from postroom.dev.stripe_events import encode, snapshot_event, thin_event


def test_a_snapshot_event_is_read() -> None:
    event = parse(
        snapshot_event(
            "customer.subscription.updated",
            {"id": "sub_1", "object": "subscription", "customer": {"id": "cus_1"}},
            created=1_700_000_000,
            previous={"status": "trialing"},
            account="acct_1",
        )
    )
    assert event.key == f"acct_1:{event.id}"
    assert event.object_id == "sub_1"
    assert event.customer == "cus_1"
    assert event.created == datetime.fromtimestamp(1_700_000_000, UTC)
    assert event.previous == {"status": "trialing"}
    assert address(event) == "/v1/subscriptions/sub_1"


def test_a_thin_event_is_read() -> None:
    event = parse(
        thin_event(
            "v1.billing.meter.error_report_triggered",
            object_id="mtr_1",
            object_type="billing.meter",
            url="/v1/billing/meters/mtr_1",
        )
    )
    assert event.thin
    assert event.object_id == "mtr_1"
    assert event.created.microsecond == 678_000
    assert address(event) == "/v1/billing/meters/mtr_1"


def test_a_thin_event_cannot_send_the_api_key_elsewhere() -> None:
    body = thin_event("v2.x", object_id="a", object_type="b", url="https://elsewhere.example/v1/x")
    assert address(parse(body)) is None


@pytest.mark.parametrize(
    ("object", "path"),
    [
        ({"object": "tax_id", "id": "txi_1", "customer": "cus_1"}, "/v1/tax_ids/txi_1"),
        ({"object": "account", "id": "acct_1"}, "/v1/accounts/acct_1"),
        ({"object": "coupon", "id": "25% off/all"}, "/v1/coupons/25%25%20off%2Fall"),
        ({"object": "issuing.token", "id": "t_1"}, "/v1/issuing/tokens/t_1"),
        ({"object": "card", "id": "card_1", "customer": "cus_1"}, "/v1/customers/cus_1/sources/card_1"),
        (
            {"object": "bank_account", "id": "ba_1", "account": {"id": "acct_1"}, "customer": None},
            "/v1/accounts/acct_1/external_accounts/ba_1",
        ),
        ({"object": "person", "id": "p_1", "account": "acct_1"}, "/v1/accounts/acct_1/persons/p_1"),
        ({"object": "fee_refund", "id": "fr_1", "fee": "fee_1"}, "/v1/application_fees/fee_1/refunds/fr_1"),
        ({"object": "card", "id": "card_1"}, None),
        ({"object": "person", "id": "p_1"}, None),
        ({"object": "discount", "id": "di_1"}, None),
        ({"object": "balance"}, None),
        ({"object": "of.tomorrow", "id": "x_1"}, None),
    ],
)
def test_an_object_is_retrieved_where_stripes_library_retrieves_it(
    object: dict[str, Any], path: str | None
) -> None:
    assert address(parse(snapshot_event("some.updated", object))) == path


@pytest.mark.parametrize(
    ("type", "object_type", "deleted"),
    [
        ("customer.deleted", "customer", True),
        ("customer.tax_id.deleted", "tax_id", True),
        ("customer.source.deleted", "card", True),
        ("customer.discount.deleted", "discount", True),
        ("account.external_account.deleted", "bank_account", True),
        ("customer.subscription.deleted", "subscription", False),
        ("customer.tax_id.updated", "tax_id", False),
    ],
)
def test_a_deletion_is_one_whatever_stands_before_it(type: str, object_type: str, deleted: bool) -> None:
    event = parse(snapshot_event(type, {"id": "x_1", "object": object_type}))
    assert event.says_deleted is deleted


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b'"text"', b"1", b"\xff\xfe", b"{'id': 1}", b"[" * 5_000 + b"]" * 5_000],
)
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode(raw)


@pytest.mark.parametrize("body", [{}, {"id": None}, {"id": ""}, {"id": 7}, {"id": "e" * 256}])
def test_an_event_without_a_usable_id_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse(body)
    assert refusal.value.field == "id"


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (rb'{"a":"x\u0000y"}', {"a": "x\ufffdy"}),
        (rb'{"a":"x\ud800y"}', {"a": "x\ufffdy"}),
        (rb'{"a":"\udc00"}', {"a": "\ufffd"}),
        (rb'{"a":"\ud83d\ude00 \ud800"}', {"a": "\U0001f600 \ufffd"}),
        (rb'{"x\u0000":1}', {"x\ufffd": 1}),
        (b'{"a":1e999}', {"a": "inf"}),
        (b'{"a":99999999999999999999}', {"a": "99999999999999999999"}),
    ],
)
def test_what_postgresql_cannot_keep_is_replaced_and_the_rest_kept(raw: bytes, kept: dict[str, Any]) -> None:
    assert decode(raw) == kept


def test_what_is_nested_too_deep_is_cut_in_the_copy() -> None:
    decoded = decode(b'{"id":"evt_1","a":' + b"[" * 400 + b"]" * 400 + b"}")
    assert decoded["id"] == "evt_1"
    assert CUT in json.encode([{"payload": decoded}])


@pytest.mark.parametrize("created", [None, "yesterday", -1, 10**30, 1.5, [], True])
def test_a_strange_moment_breaks_nothing(created: object) -> None:
    body = snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"})
    assert parse({**body, "created": created}).created.tzinfo is not None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(st.dictionaries(st.sampled_from(["object", "type", "account", "created", "data", "livemode"]), _JSON))
def test_every_signed_object_with_an_id_can_be_kept(body: dict[str, Any]) -> None:
    event = parse(decode(encode({**body, "id": "evt_1"})))
    assert json.encode(event.body)


_NUMBERS = st.integers(-(2**64), 2**64) | st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 1e308])
_PLAIN = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.sampled_from(["", "x", "\x7f", "ä", "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from("abc"), _PLAIN), st.integers(DEPTH_MAX - 3, DEPTH_MAX + 1))
def test_only_what_needs_no_cleaning_is_kept_uncleaned(value: dict[str, Any], depth: int) -> None:
    for _ in range(depth):
        value = {"deeper": value}
    raw = msgspec.json.encode(value)
    assert decode(raw) == _clean(msgspec.json.decode(raw), 0)
