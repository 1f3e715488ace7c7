"""Input made to break: bombs, depth, endless names, random bytes. Never a 500, never a hang."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from postroom.admin.erasure import person
from postroom.admin.tokens import generate_token, well_formed
from postroom.api.intake.event_model import parse_events
from postroom.base import json as postroom_json
from postroom.base.cursor import decode_cursor, encode_cursor
from postroom.base.errors import InvalidInput, PostroomError, SettingsInvalid
from postroom.base.settings import Settings
from postroom.base.stripe_settings import StripeSettings
from postroom.channels.email import payload as email_payload
from postroom.channels.exports.model import check_payload
from postroom.channels.stripe.routes_file import load_routes
from postroom.channels.stripe.signature import SignatureInvalid, SignatureVerifier
from postroom.channels.webhooks.url import parse_url
from tests.fixtures.api import Api, running_api
from tests.fixtures.clock import DrivenClock

DEPTH = 100_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STRIPE = StripeSettings(webhook_secrets=(SecretStr("whsec_test_secret"),))
QUICK = settings(max_examples=150, deadline=2_000, suppress_health_check=[HealthCheck.too_slow])

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path, stripe=STRIPE)) as running:
        yield running


BODIES: dict[str, bytes] = {
    "empty": b"",
    "deep lists": b"[" * DEPTH,
    "deep objects": b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
    "deep payload": b'{"channel":"email","payload":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
    "a long key": b'{"channel":"email","payload":{"' + b"k" * 900_000 + b'":1}}',
    "a long field": b'{"channel":"email","key":"' + b"k" * 900_000 + b'","payload":{}}',
    "many keys": json.dumps({f"k{i}": 0 for i in range(50_000)}).encode(),
    "many events": json.dumps([{"channel": "email", "payload": {}}] * 5_000).encode(),
    "a huge number": b'{"channel":"email","payload":{"n":' + b"9" * 200_000 + b"}}",
    "a huge exponent": b'{"channel":"export","payload":{"dataset":"a","record":{"n":1e400}}}',
    "NaN": b'{"channel":"export","payload":{"dataset":"a","record":{"n":NaN}}}',
    "NUL": b'{"channel":"export","payload":{"dataset":"a","record":{"n":"\\u0000"}}}',
    "a lone surrogate": b'{"channel":"export","payload":{"dataset":"a","record":{"n":"\\ud800"}}}',
    "no UTF-8": b'{"channel":"email","payload":{"to":"\xff\xfe"}}',
    "the same key twice": b'{"channel":"email","channel":"stripe","payload":{}}',
    "a byte order mark": b"\xef\xbb\xbf{}",
}
POSTS = [
    "/v1/events", "/v1/stripe/webhook", "/v1/admin/outbox/replay", "/v1/admin/tokens", "/v1/admin/endpoints",
    "/v1/admin/circuits/email", "/v1/admin/suppressions", "/v1/admin/erasures",
]  # fmt: skip


@pytest.mark.timeout(60)
async def test_no_body_breaks_or_holds_up_any_door(api: Api) -> None:
    json_type = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
    for path in POSTS:
        for name, body in BODIES.items():
            answer = await api.post(path, data=body, headers=json_type)
            assert 400 <= answer.status < 500, (path, name, answer.status, answer.text[:200])
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert len(answer.text) < 10_000, (path, name, "an answer repeats what was sent")
    assert await api.pool.fetchval("select count(*) from postroom.message") == 0


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "gzip, identity"])
async def test_a_packed_body_is_refused_unread(api: Api, encoding: str) -> None:
    bomb = gzip.compress(b"[" + b" " * 10_000_000 + b"]")
    headers = {"Authorization": f"Bearer {api.token}", "Content-Encoding": encoding}
    for path in POSTS:
        answer = await api.post(path, data=bomb, headers=headers)
        assert (answer.status, answer.json["code"]) == (415, "packed_body"), path


async def test_a_body_without_end_is_cut_off(api: Api) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    answer = await api.post("/v1/admin/tokens", data=endless())
    assert answer.status == 413


@QUICK
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_no_signature_header_passes_or_breaks(header: str) -> None:
    verifier = SignatureVerifier(
        secrets={"self": [SecretStr("whsec_test_secret")]}, tolerance_s=300, clock=DrivenClock(NOW)
    )
    with pytest.raises(SignatureInvalid) as refused:
        verifier.verify(b"{}", header)
    assert "whsec_" not in refused.value.detail


@QUICK
@given(st.binary(max_size=300))
def test_random_bytes_are_no_events(body: bytes) -> None:
    with pytest.raises(PostroomError):
        parse_events(body)


@QUICK
@given(st.dictionaries(st.sampled_from(["to", "subject", "text", "html", "template", "data", "cc", "headers",
                                        "attachments", "reply_to", "x"]), anything, max_size=6))  # fmt: skip
def test_no_email_payload_breaks_the_check(payload: dict[str, Any]) -> None:
    try:
        email = email_payload.parse(payload, attachments_bytes_max=1_000)
    except InvalidInput as refused:
        assert refused.field  # noqa: PT017 - it may or may not be refused
        return
    everything = [*map(str, (*email.to, *email.cc, *email.bcc)), email.subject, *map(str, email.headers)]
    assert not any("\r" in text or "\n" in text for text in everything)


@QUICK
@given(st.dictionaries(st.sampled_from(["dataset", "record", "x"]), anything, max_size=3))
def test_no_export_payload_breaks_the_check(payload: dict[str, Any]) -> None:
    try:
        assert check_payload(payload) == payload["dataset"]
    except InvalidInput as refused:
        assert refused.field in ("dataset", "record")  # noqa: PT017 - as above


@QUICK
@given(st.text(max_size=60) | st.text(max_size=40).map(lambda t: f"http://{t}/"))
def test_no_url_breaks_the_check(text: str) -> None:
    try:
        url = parse_url(text, allow_private=False)
    except InvalidInput as refused:
        assert refused.field == "url"  # noqa: PT017 - as above
        return
    assert url.scheme in ("http", "https")
    assert url.user is None


@QUICK
@given(st.text(max_size=300))
def test_no_cursor_breaks_a_page(text: str) -> None:
    for kind in (UUID, int, str):
        try:
            position = decode_cursor(text, kind)
        except InvalidInput as refused:
            assert refused.field == "cursor"  # noqa: PT017 - as above
        else:
            assert isinstance(position, kind)
            assert decode_cursor(encode_cursor(position), kind) == position


@QUICK
@given(st.text(max_size=60), st.integers(0, 41), st.characters())
def test_a_token_with_one_letter_changed_is_none(text: str, place: int, letter: str) -> None:
    assert not well_formed(text)
    token = generate_token()
    assert well_formed(token)
    changed = token[:place] + letter + token[place + 1 :]
    assert well_formed(changed) == (changed == token)


@QUICK
@given(st.text(max_size=120) | st.text(max_size=60).map(lambda t: f'[[route]]\non = "invoice.paid"\n{t}'))
def test_no_routes_file_breaks_the_start(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile-routes.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        load_routes(path, checks={})
    except SettingsInvalid as refused:
        assert refused.faults  # noqa: PT017 - as above


@QUICK
@given(anything)
def test_what_can_be_encoded_can_be_read_back(value: object) -> None:
    try:
        text = postroom_json.encode(value)
    except InvalidInput:
        return
    postroom_json.decode(text)


@QUICK
@given(st.text(max_size=80))
def test_no_address_breaks_an_erasure(text: str) -> None:
    try:
        who = person(text)
    except InvalidInput:
        return
    assert "@" in who.address
