"""Standard Webhooks signatures: a vector from elsewhere, and the receiver's own verification."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from postroom.base.errors import InvalidInput
from postroom.channels.webhooks.signing import decode_secret, generate_secret, sign
from postroom.dev.standard_webhooks import find_fault

# Made with `hmac.new(bytes(range(32)), b'msg_1.1700000000.{"type":"invoice.paid"}', sha256)`.
GOLDEN_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
GOLDEN_SIGNATURE = "v1,AOLMytAJEEkboAdCsmEvuqpFWj7XvF5tQ7RhFZUAWms="
BODY = b'{"type":"invoice.paid"}'


def test_the_signature_is_the_one_computed_by_hand() -> None:
    made = sign(message_id="msg_1", timestamp_s=1_700_000_000, body=BODY, keys=[SecretStr(GOLDEN_SECRET)])
    assert made == GOLDEN_SIGNATURE


@given(body=st.binary(max_size=200), timestamp_s=st.integers(0, 4_000_000_000))
def test_each_of_two_secrets_verifies_and_a_third_does_not(body: bytes, timestamp_s: int) -> None:
    current, previous, stranger = generate_secret(), generate_secret(), generate_secret()
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(
            message_id="m", timestamp_s=timestamp_s, body=body, keys=[current, previous]
        ),
    }

    def fault(secret: SecretStr, body: bytes = body, late_s: int = 0) -> str | None:
        return find_fault(headers, body, secrets=[secret.get_secret_value()], now_s=timestamp_s + late_s)

    assert fault(current) is None
    assert fault(previous) is None
    assert fault(stranger) is not None
    assert fault(current, body + b"x") is not None
    assert fault(current, late_s=301) is not None
    assert fault(current, late_s=-301) is not None


def test_a_generated_secret_has_32_bytes_and_is_never_the_same() -> None:
    assert len(decode_secret(generate_secret())) == 32
    assert generate_secret() != generate_secret()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_not base64 at all, really not!",
        base64.b64encode(bytes(32)).decode(),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + "ä" * 40,
    ],
)
def test_an_imported_secret_of_the_wrong_form_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_secret(SecretStr(text))
    assert caught.value.field == "secret"
    assert len(text) <= len("whsec_") or text not in str(caught.value)


@pytest.mark.parametrize("size", [24, 64])
def test_the_shortest_and_the_longest_key_are_taken(size: int) -> None:
    assert bytes(size) == decode_secret(SecretStr("whsec_" + base64.b64encode(bytes(size)).decode()))
