"""What a webhook's payload must be, and the bytes that are sent for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from postroom.base.errors import InvalidInput, InvalidPayload
from postroom.channels.webhooks.endpoints import check_types
from postroom.channels.webhooks.payload import DATA_BYTES_MAX, build_body, check_payload, read_payload
from postroom.outbox.model import Claim
from tests.factories.claims import make_claim

CREATED_AT = datetime(2024, 2, 3, 4, 5, 6, 789, UTC)
GOOD: dict[str, Any] = {"tenant": "acme", "type": "invoice.paid", "data": {"id": "in_1"}}


def claim(payload: str, **changes: Any) -> Claim:
    values: dict[str, Any] = {
        "message_id": UUID(int=7),
        "channel": "webhook",
        "destination": "example.com",
        "type": "invoice.paid",
        "tenant": "acme",
        "payload": payload,
        "created_s": CREATED_AT.timestamp(),
    }
    return make_claim(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tenant": None}, "tenant"),
        ({"tenant": ""}, "tenant"),
        ({"tenant": "x" * 201}, "tenant"),
        ({"tenant": 7}, "tenant"),
        ({"type": None}, "type"),
        ({"type": ""}, "type"),
        ({"type": "no spaces"}, "type"),
        ({"type": "x" * 201}, "type"),
        ({"type": "invoice.paid\n"}, "type"),
        ({"typ": "x"}, "typ"),
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": 7}, "url"),
        ({"data": "x" * DATA_BYTES_MAX}, "data"),
    ],
)
def test_a_payload_that_could_never_be_sent_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        check_payload({**GOOD, **changes}, allow_private=False)
    assert field == caught.value.field


def test_data_must_be_there() -> None:
    with pytest.raises(InvalidPayload) as caught:
        check_payload({"tenant": "acme", "type": "a"}, allow_private=False)
    assert caught.value.field == "data"


def body_of(claim: Claim) -> bytes:
    payload = read_payload(claim.payload, tenant=claim.tenant, type_=claim.type)
    return build_body(payload, type_=claim.type, created_at=datetime.fromtimestamp(claim.created_s, UTC))


def test_a_tenant_or_a_url_is_enough() -> None:
    check_payload(GOOD, allow_private=False)
    check_payload({"url": "https://example.com/", "type": "a", "data": None}, allow_private=False)


def test_the_body_is_compact_and_no_number_loses_a_digit() -> None:
    made = claim('{"data": {"n": 12345678901234567890.10, "ü": [1, 2]}, "tenant": "acme"}')
    expected = (
        '{"type":"invoice.paid","timestamp":"2024-02-03T04:05:06.000789Z",'
        '"data":{"n":12345678901234567890.10,"ü":[1,2]}}'
    )
    assert expected.encode() == body_of(made)


def test_the_body_is_the_same_whatever_zone_the_database_speaks() -> None:
    made = claim('{"data": 1}')
    payload = read_payload(made.payload, tenant=made.tenant, type_=made.type)
    there = CREATED_AT.astimezone(timezone(timedelta(hours=9)))
    assert build_body(payload, type_=made.type, created_at=there) == body_of(made)


@pytest.mark.parametrize("payload", ["[]", "7", "null", '{"url": 7, "data": 1}', '{"tenant": "acme"}'])
def test_what_sql_published_and_nobody_can_send_is_refused_at_delivery(payload: str) -> None:
    with pytest.raises(InvalidPayload):
        body_of(claim(payload))


def test_too_much_data_is_refused_at_delivery_and_the_limit_itself_is_not() -> None:
    body_of(claim(f'{{"data": "{"x" * (DATA_BYTES_MAX - 2)}"}}'))
    with pytest.raises(InvalidPayload):
        body_of(claim(f'{{"data": "{"x" * (DATA_BYTES_MAX - 1)}"}}'))


@pytest.mark.parametrize("types", [["*"], ["invoice.paid"], ["invoice.*", "a_b.c-d.*"], ["x" * 198 + ".*"]])
def test_types_may_be_exact_a_prefix_or_all(types: list[str]) -> None:
    assert types == check_types(types)


@pytest.mark.parametrize(
    "types", [[], ["in*"], ["*.paid"], [".*"], ["a b"], [""], ["a.**"], ["x"] * 101, "all"]
)
def test_other_patterns_are_refused(types: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_types(types)
    assert (caught.value.field or "").startswith("types")
