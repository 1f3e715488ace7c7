"""Encryption at rest: AES-256-GCM under named keys. The first key encrypts, every key opens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from postroom.base.clock import Clock, SystemClock
from postroom.base.encryption_keys import (
    DERIVES,
    KEY_BYTES,
    KEY_NAME,
    REQUIRED_SETTING,
    SETTING,
    NamedKey,
    parse_keys,
)
from postroom.base.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from postroom.base.settings import EncryptionSettings

PREFIX: Final = "sealed:1:"
NONCE_BYTES: Final = 12
_PSEUDONYM: Final = b"postroom pseudonym 1"
_ENCRYPTS: Final = b"postroom encrypts "
_HASHES: Final = b"postroom hashes "


class Unreadable(InvalidInput):
    """Something encrypted that no configured key opens; it is kept as it is."""

    code = "payload_unreadable"
    status = 409
    title = "An encrypted payload cannot be opened"


class KeyMissing(Unreadable):
    """Its key is not here. Another process may have it, or this one soon: during a rotation, that is so."""


class OpenRefused(Unreadable):
    """Something lies open where only what a key of ours has encrypted is believed."""

    code = "payload_open"
    title = "A payload is not encrypted, and must be"


@dataclass(frozen=True, slots=True)
class Required:
    """From when on nothing is believed that lies open, but on some channels."""

    since: datetime
    open_channels: Collection[str]
    clock: Clock

    def refuses(self, channel: str | None = None) -> bool:
        return self.clock.now() >= self.since and channel not in self.open_channels


class _Key:
    """One named key, and what is made of it."""

    def __init__(self, key: NamedKey) -> None:
        # Imported late: who has no keys need not load a library for them.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.name, self._secret, self.derives = key
        self._cipher_of = AESGCM
        self._shared = None if key.derives else AESGCM(key.secret)
        self.pseudonym_key = hmac.digest(key.secret, _PSEUDONYM, hashlib.sha256)

    def cipher(self, about: bytes) -> AESGCM:
        """Its own for whatever it is about, so that no key encrypts more than a few texts."""
        return self._shared or self._cipher_of(self.derived(_ENCRYPTS + about))

    def derived(self, info: bytes) -> bytes:
        """32 bytes by HKDF-Expand (RFC 5869), of which that is the first block: the key is random already."""
        return hmac.digest(self._secret, info + b"\x01", hashlib.sha256)


class Keyring:
    """Encrypts and opens. Without keys it encrypts nothing, and opening says which key is missing.

    A sealed text is `sealed:1:<key>:<base64 of nonce, ciphertext and tag>`. `about` names what it belongs
    to and is authenticated with it: moved to another row, it does not open.
    Does not promise: a key that does not derive encrypts at most 4 billion times (random nonces of 96 bits).
    """

    def __init__(self, keys: Sequence[NamedKey] = (), *, required: Required | None = None) -> None:
        self.required = required
        self._keys = {key.name: _Key(key) for key in keys}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._keys)

    @property
    def current(self) -> str | None:
        """The key that encrypts, by its name."""
        return next(iter(self._keys), None)

    def replace(self, other: Keyring) -> None:
        """From now on whoever holds this one has the other one's keys."""
        self._keys, self.required = other._keys, other.required

    @property
    def derives(self) -> bool:
        """Whether secrets and hashes are kept under it, too: every process that has such a key knows how."""
        return self.current is not None and self._keys[self.current].derives

    def encrypt(self, plain: bytes, *, about: str) -> str:
        """Needs a key; ask `current` first."""
        if self.current is None:
            raise RuntimeError("sealing needs a key")
        nonce, bound = os.urandom(NONCE_BYTES), about.encode()
        encrypted = self._keys[self.current].cipher(bound).encrypt(nonce, plain, bound)
        return f"{PREFIX}{self.current}:{base64.b64encode(nonce + encrypted).decode()}"

    def open(self, encrypted: str, *, about: str) -> bytes:
        """Errors: `KeyMissing`; `Unreadable` for another key of that name, or a text that was changed."""
        from cryptography.exceptions import InvalidTag

        name, _, text = encrypted.removeprefix(PREFIX).partition(":")
        key, bound = self._keys.get(name), about.encode()
        if key is None:
            raise KeyMissing(f"it is encrypted with the key {name[:32]!r}, which is not in {SETTING}")
        try:
            held = base64.b64decode(text, validate=True)
            return key.cipher(bound).decrypt(held[:NONCE_BYTES], held[NONCE_BYTES:], bound)
        except (InvalidTag, ValueError):
            raise Unreadable(
                f"the key {name!r} does not open it: another key once had this name, or it was changed"
            ) from None

    def hashes(self, what: str, secret: str) -> list[bytes]:
        """What the database keeps of a secret that somebody else holds: first what to keep of a new one, then
        what may have been kept before.

        Keyed from when `required` is set, a moment in the future included: by then every process has the key.
        Random secrets need no salt. One without a key is what anybody could have written there.
        """
        keyed = [
            hmac.digest(key.derived(_HASHES + what.encode()), secret.encode("utf-8", "replace"), "sha256")
            for key in self._keys.values()
            if key.derives
        ]
        plain = hashlib.sha256(secret.encode("utf-8", "replace")).digest()
        if self.refuses_open():
            return keyed
        return [plain, *keyed] if self.required is None else [*keyed, plain]

    def refuses_open(self, channel: str | None = None) -> bool:
        """Whether what lies open is not to be believed: a payload of this channel, or whatever else."""
        return self.required is not None and self.required.refuses(channel)

    def check_open(self, channel: str | None = None) -> None:
        """Errors: `OpenRefused`."""
        if self.refuses_open(channel):
            raise OpenRefused(
                f"it is not encrypted, and {REQUIRED_SETTING} asks for that: whoever may write to the "
                "database has put it there"
            )

    def pseudonym(self, text: str) -> str:
        """Stands for a text in an index: the same for the same text and key, and tells nothing else."""
        return self.pseudonyms(text)[0]

    def pseudonyms(self, text: str) -> list[str]:
        """What the text is called under each key."""
        return [_pseudonym(key.pseudonym_key, text) for key in self._keys.values()]


def keyring_of(settings: EncryptionSettings, clock: Clock | None = None) -> Keyring:
    """The keyring of checked settings."""
    keys = parse_keys(key.get_secret_value() for key in settings.keys)
    if settings.required_from is None:
        return Keyring(keys)
    required = Required(settings.required_from, settings.open_channels, clock or SystemClock())
    return Keyring(keys, required=required)


def new_key(name: str) -> str:
    """A key for the setting. Errors: `InvalidInput` for a name that the setting would refuse."""
    if not KEY_NAME.fullmatch(name):
        raise InvalidInput("a key's name has 1 to 32 of a-z, 0-9, _ and -", field="name")
    return f"{name}:{DERIVES}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}"


def _pseudonym(key: bytes, text: str) -> str:
    return hmac.digest(key, text.lower().encode(), hashlib.sha256).hex()


NO_KEYS: Final = Keyring()
