"""Encryption: what opens, what does not, and what a fault in the setting gives away."""

from __future__ import annotations

import base64

import pytest

from postroom.base.encryption_keys import parse_keys
from postroom.base.errors import InvalidInput, SettingsInvalid
from postroom.base.settings import load_settings
from postroom.encryption.keyring import NO_KEYS, Keyring, Unreadable, keyring_of, new_key

A, B = b"a" * 32, b"b" * 32
SETTING = "POSTROOM_ENCRYPTION__KEYS"


def changed(encrypted: str, place: int) -> str:
    """The same text with one bit of its bytes turned over."""
    head, _, text = encrypted.rpartition(":")
    held = bytearray(base64.b64decode(text))
    held[place] ^= 1
    return f"{head}:{base64.b64encode(held).decode()}"


def test_the_first_key_seals_and_every_key_opens() -> None:
    old = Keyring([("old", A)])
    both = Keyring([("new", B), ("old", A)])
    encrypted = old.encrypt(b"x", about="message:1")
    assert both.open(encrypted, about="message:1") == b"x"
    assert both.encrypt(b"x", about="message:1").startswith("sealed:1:new:")


def test_two_seals_of_one_text_have_nothing_in_common() -> None:
    keyring = Keyring([("k", A)])
    one, two = (keyring.encrypt(b"x" * 40, about="m") for _ in range(2))
    assert one[12:60] != two[12:60]


@pytest.mark.parametrize("place", [0, 11, 12, 15, -1])
def test_a_changed_bit_does_not_open(place: int) -> None:
    keyring = Keyring([("k", A)])
    with pytest.raises(Unreadable, match="'k' does not open it"):
        keyring.open(changed(keyring.encrypt(b"hello", about="m"), place), about="m")


def test_what_was_moved_to_another_message_does_not_open() -> None:
    keyring = Keyring([("k", A)])
    with pytest.raises(Unreadable):
        keyring.open(keyring.encrypt(b"hello", about="message:1"), about="message:2")


@pytest.mark.parametrize(
    "text", ["sealed:1:k:", "sealed:1:k:%%%", "sealed:1:k:AAAA", "sealed:1:", "sealed:1:k"]
)
def test_a_text_that_never_was_one_does_not_open(text: str) -> None:
    with pytest.raises(Unreadable):
        Keyring([("k", A)]).open(text, about="m")


def test_another_key_of_the_same_name_and_a_missing_one_are_told_apart() -> None:
    encrypted = Keyring([("k", A)]).encrypt(b"hello", about="m")
    with pytest.raises(Unreadable, match="another key once had this name"):
        Keyring([("k", B)]).open(encrypted, about="m")
    with pytest.raises(Unreadable, match=f"'k', which is not in {SETTING}"):
        NO_KEYS.open(encrypted, about="m")


def test_a_pseudonym_is_the_same_for_one_address_in_any_case_and_another_under_another_key() -> None:
    keyring = Keyring([("new", B), ("old", A)])
    assert keyring.pseudonym("Ada@Example.com") == keyring.pseudonym("ada@example.com")
    assert len({*keyring.pseudonyms("ada@example.com"), *keyring.pseudonyms("bob@example.com")}) == 4
    assert NO_KEYS.pseudonyms("ada@example.com") == []


def test_a_new_key_is_taken_by_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, f"{new_key('2025b')}, {new_key('2025a')},")
    settings = load_settings()
    assert keyring_of(settings.encryption.keys).names == ("2025b", "2025a")
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
    assert [name for name, _ in parse_keys(texts)] == ["z", "a"]
