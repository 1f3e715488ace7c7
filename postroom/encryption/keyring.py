"""Payloads at rest: AES-256-GCM under named keys. The first key encrypts, every key opens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from postroom.base.encryption_keys import KEY_BYTES, KEY_NAME, SETTING, parse_keys
from postroom.base.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from pydantic import SecretStr

PREFIX: Final = "sealed:1:"
NONCE_BYTES: Final = 12
_PSEUDONYM: Final = b"postroom pseudonym 1"


class Unreadable(InvalidInput):
    """Something encrypted that no configured key opens; it is kept as it is."""

    code = "payload_unreadable"
    status = 409
    title = "An encrypted payload cannot be opened"


class Keyring:
    """Encrypts and opens. Without keys it encrypts nothing, and opening says which key is missing.

    A sealed text is `sealed:1:<key>:<base64 of nonce, ciphertext and tag>`. `about` names what it belongs
    to and is authenticated with it: moved to another row, it does not open.
    Does not promise: one key encrypts at most 4 billion times (random nonces of 96 bits).
    """

    def __init__(self, keys: Sequence[tuple[str, bytes]] = ()) -> None:
        self.names = tuple(name for name, _ in keys)
        self.current = self.names[0] if keys else None
        self._ciphers = _ciphers(keys)
        self._pseudonym_keys = [hmac.digest(key, _PSEUDONYM, hashlib.sha256) for _, key in keys]

    def encrypt(self, plain: bytes, *, about: str) -> str:
        """Needs a key; ask `current` first."""
        if self.current is None:
            raise RuntimeError("sealing needs a key")
        nonce = os.urandom(NONCE_BYTES)
        encrypted = self._ciphers[self.current].encrypt(nonce, plain, about.encode())
        return f"{PREFIX}{self.current}:{base64.b64encode(nonce + encrypted).decode()}"

    def open(self, encrypted: str, *, about: str) -> bytes:
        """Errors: `Unreadable` for a missing key, another key of that name, or a text that was changed."""
        from cryptography.exceptions import InvalidTag

        name, _, text = encrypted.removeprefix(PREFIX).partition(":")
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise Unreadable(f"it is encrypted with the key {name[:32]!r}, which is not in {SETTING}")
        try:
            held = base64.b64decode(text, validate=True)
            return cipher.decrypt(held[:NONCE_BYTES], held[NONCE_BYTES:], about.encode())
        except (InvalidTag, ValueError):
            raise Unreadable(
                f"the key {name!r} does not open it: another key once had this name, or it was changed"
            ) from None

    def pseudonym(self, text: str) -> str:
        """Stands for a text in an index: the same for the same text and key, and tells nothing else."""
        return _pseudonym(self._pseudonym_keys[0], text)

    def pseudonyms(self, text: str) -> list[str]:
        """What the text is called under each key."""
        return [_pseudonym(key, text) for key in self._pseudonym_keys]


def keyring_of(keys: Iterable[SecretStr]) -> Keyring:
    """The keyring of checked settings."""
    return Keyring(parse_keys(key.get_secret_value() for key in keys))


def new_key(name: str) -> str:
    """A key for the setting. Errors: `InvalidInput` for a name that the setting would refuse."""
    if not KEY_NAME.fullmatch(name):
        raise InvalidInput("a key's name has 1 to 32 of a-z, 0-9, _ and -", field="name")
    return f"{name}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}"


def _ciphers(keys: Sequence[tuple[str, bytes]]) -> dict[str, AESGCM]:
    if not keys:
        return {}
    # Imported late: who has no keys need not load a library for them.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return {name: AESGCM(key) for name, key in keys}


def _pseudonym(key: bytes, text: str) -> str:
    return hmac.digest(key, text.lower().encode(), hashlib.sha256).hex()


NO_KEYS: Final = Keyring()
