"""Encryption: what opens, what does not, and what a fault in the setting gives away."""

from __future__ import annotations

import base64

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from postroom.base.encryption_keys import NamedKey, parse_keys
from postroom.base.errors import InvalidInput, SettingsInvalid
from postroom.base.settings import load_settings
from postroom.encryption.keyring import NO_KEYS, KeyMissing, Keyring, Unreadable, keyring_of, new_key

A, B = b"a" * 32, b"b" * 32
SETTING = "POSTROOM_ENCRYPTION__KEYS"

both_forms = pytest.mark.parametrize("derives", [False, True])


def ring(secret: bytes, derives: bool) -> Keyring:
    return Keyring([NamedKey("k", secret, derives)])


def changed(encrypted: str, place: int) -> str:
    """The same text with one bit of its bytes turned over."""
    head, _, text = encrypted.rpartition(":")
    held = bytearray(base64.b64decode(text))
    held[place] ^= 1
    return f"{head}:{base64.b64encode(held).decode()}"


def test_the_first_key_seals_and_every_key_opens() -> None:
    old = Keyring([NamedKey("old", A, derives=False)])
    both = Keyring([NamedKey("new", B), NamedKey("old", A, derives=False)])
    encrypted = old.encrypt(b"x", about="message:1")
    assert both.open(encrypted, about="message:1") == b"x"
    assert both.encrypt(b"x", about="message:1").startswith("sealed:1:new:")


@both_forms
def test_two_seals_of_one_text_have_nothing_in_common(derives: bool) -> None:
    keyring = ring(A, derives)
    one, two = (keyring.encrypt(b"x" * 40, about="m") for _ in range(2))
    assert one[12:60] != two[12:60]


@both_forms
@pytest.mark.parametrize("place", [0, 11, 12, 15, -1])
def test_a_changed_bit_does_not_open(place: int, derives: bool) -> None:
    keyring = ring(A, derives)
    with pytest.raises(Unreadable, match="'k' does not open it"):
        keyring.open(changed(keyring.encrypt(b"hello", about="m"), place), about="m")


@both_forms
def test_what_was_moved_to_another_message_does_not_open(derives: bool) -> None:
    keyring = ring(A, derives)
    with pytest.raises(Unreadable):
        keyring.open(keyring.encrypt(b"hello", about="message:1"), about="message:2")


@both_forms
@pytest.mark.parametrize(
    "text", ["sealed:1:k:", "sealed:1:k:%%%", "sealed:1:k:AAAA", "sealed:1:", "sealed:1:k"]
)
def test_a_text_that_never_was_one_does_not_open(text: str, derives: bool) -> None:
    with pytest.raises(Unreadable):
        ring(A, derives).open(text, about="m")


@both_forms
def test_another_key_of_the_same_name_and_a_missing_one_are_told_apart(derives: bool) -> None:
    encrypted = ring(A, derives).encrypt(b"hello", about="m")
    with pytest.raises(Unreadable, match="another key once had this name"):
        ring(B, derives).open(encrypted, about="m")
    with pytest.raises(KeyMissing, match=f"'k', which is not in {SETTING}"):
        NO_KEYS.open(encrypted, about="m")


def test_each_message_has_a_key_of_its_own_as_hkdf_derives_it() -> None:
    encrypted = ring(A, derives=True).encrypt(b"hello", about="message:1")
    held = base64.b64decode(encrypted.rpartition(":")[2])

    def opened(key: bytes) -> bytes:
        return AESGCM(key).decrypt(held[:12], held[12:], b"message:1")

    def derived(about: bytes) -> bytes:
        return HKDFExpand(SHA256(), 32, b"postroom encrypts " + about).derive(A)

    assert opened(derived(b"message:1")) == b"hello"
    for other in (derived(b"message:2"), A):
        with pytest.raises(InvalidTag):
            opened(other)


def test_what_a_key_of_before_encrypted_opens_and_the_same_bytes_as_a_new_one_do_not() -> None:
    """As the version before wrote it: under the key itself."""
    nonce = b"n" * 12
    held = nonce + AESGCM(A).encrypt(nonce, b"hello", b"message:1")
    encrypted = f"sealed:1:k:{base64.b64encode(held).decode()}"
    assert ring(A, derives=False).open(encrypted, about="message:1") == b"hello"
    with pytest.raises(Unreadable, match="another key once had this name"):
        ring(A, derives=True).open(encrypted, about="message:1")


def test_a_pseudonym_is_the_same_for_one_address_in_any_case_and_another_under_another_key() -> None:
    keyring = Keyring([NamedKey("new", B), NamedKey("old", A, derives=False)])
    assert keyring.pseudonym("Ada@Example.com") == keyring.pseudonym("ada@example.com")
    assert len({*keyring.pseudonyms("ada@example.com"), *keyring.pseudonyms("bob@example.com")}) == 4
    assert NO_KEYS.pseudonyms("ada@example.com") == []


def test_a_new_key_is_taken_by_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, f"{new_key('2025b')}, {new_key('2025a')},")
    settings = load_settings()
    assert keyring_of(settings.encryption).names == ("2025b", "2025a")
    assert "2025b" not in repr(settings)
    with pytest.raises(InvalidInput):
        new_key("No Name")


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ("hunter2hunter2", "is not of the form"),
        ("UPPER:aHVudGVyMg==", "is not of the form"),
        (":aHVudGVyMg==", "is not of the form"),
        ("k:hunter2!", "is not base64"),
        ("k:aHVudGVyMg==", "has 7 bytes instead of 32"),
        (f"k:{base64.b64encode(A).decode()},k:{base64.b64encode(B).decode()}", "has the name of another one"),
    ],
)
def test_a_fault_in_the_setting_is_named_at_start_without_its_value(
    monkeypatch: pytest.MonkeyPatch, keys: str, fault: str
) -> None:
    monkeypatch.setenv(SETTING, keys)
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    assert f"{SETTING}: " in str(refused.value)
    assert fault in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "aHVudGVyMg" not in str(refused.value)


def test_keys_stand_in_the_order_of_the_setting() -> None:
    texts = [f"{name}:{base64.b64encode(A).decode()}" for name in ("z", "a")]
    assert [key.name for key in parse_keys(texts)] == ["z", "a"]


def test_a_key_says_by_its_form_whether_others_are_derived_from_it() -> None:
    old, new = parse_keys([f"old:{base64.b64encode(A).decode()}", new_key("new")])
    assert (old.derives, new.derives) == (False, True)
