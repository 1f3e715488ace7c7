"""Links by which a receiver unsubscribes with one click (RFC 8058), made and read by nobody but us."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from functools import lru_cache
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from postroom.base.email_settings import EmailSettings
from postroom.base.errors import InvalidInput
from postroom.channels.email.mime import recipients
from postroom.channels.email.payload import Email

PATH: Final = "/unsubscribe"
TOKEN_LENGTH_MAX: Final = 2_000
_KEY_BYTES: Final = 64
NO_LINKS: Final = "POSTROOM_EMAIL__UNSUBSCRIBE_URL or POSTROOM_EMAIL__UNSUBSCRIBE_SECRETS is not set"


class Unsubscribe(msgspec.Struct, frozen=True, array_like=True):
    """What a link says: this address, in lower case, wants no more mail of this tenant's category."""

    message_id: UUID
    address: str
    tenant: str
    category: str


def can_link(settings: EmailSettings) -> bool:
    secrets = settings.unsubscribe_secrets
    return bool(settings.unsubscribe_url and secrets and _ciphers(secrets))


def with_link(email: Email, settings: EmailSettings, message_id: UUID, tenant: str) -> Email:
    """With the way to unsubscribe: in the headers, and as `unsubscribe_url` for a template."""
    url, secrets = settings.unsubscribe_url, settings.unsubscribe_secrets
    if email.category is None or url is None or secrets is None:
        return email
    [receiver] = recipients(email)
    link = make_link(url, secrets, Unsubscribe(message_id, receiver.lower(), tenant, email.category))
    if settings.ledger and not tenant:
        link += f"&ledger={settings.ledger}"  # a tenant's is where the tenant is by then
    headers = (("List-Unsubscribe", f"<{link}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
    return replace(email.with_data(unsubscribe_url=link), headers=email.headers + headers)


def make_link(base_url: str, secrets: SecretStr, wish: Unsubscribe) -> str:
    """The same on each attempt. Whoever reads it learns no address: it is encrypted, by the first secret."""
    sealed = _ciphers(secrets)[0].encrypt(msgspec.json.encode(wish), None)
    token = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
    return f"{base_url.rstrip('/')}{PATH}?t={token}"


def read_token(secrets: SecretStr, token: str) -> Unsubscribe:
    """Errors: `InvalidInput` for what was not made with one of the secrets."""
    if len(token) <= TOKEN_LENGTH_MAX and token.isascii():
        for cipher in _ciphers(secrets):
            try:
                sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
                return msgspec.json.decode(cipher.decrypt(sealed, None), type=Unsubscribe)
            except (InvalidTag, binascii.Error, ValueError, msgspec.MsgspecError):
                continue
    raise InvalidInput("this link is not one of ours, or was cut", field="t")


def _ciphers(secrets: SecretStr) -> tuple[AESSIV, ...]:
    return _ciphers_of(secrets.get_secret_value())


@lru_cache(maxsize=4)
def _ciphers_of(secrets: str) -> tuple[AESSIV, ...]:
    """The key of each secret is derived, so that it is of use for nothing else."""
    return tuple(AESSIV(_key(each)) for part in secrets.split(",") if (each := part.strip()))


def _key(secret: str) -> bytes:
    info = b"postroom unsubscribe"
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(secret.encode())
