"""What signs deliveries to a `url` of the payload: a secret for each origin.

Such a receiver belongs to no endpoint. Its secret is derived (HKDF) from one that the deployment keeps in the
database, from the url's origin and from how often it was rotated, so that no receiver can sign to another.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr
from yarl import URL

from postroom.base.db import Connection
from postroom.channels.webhooks import store
from postroom.channels.webhooks.endpoints import OVERLAP_S, check_overlap
from postroom.channels.webhooks.signing import PREFIX, decode_secret, generate_secret
from postroom.encryption.keyring import NO_KEYS, Keyring

_INFO: Final = b"postroom webhook origin"
_KEY_BYTES: Final = 32
_DERIVED_KEPT_MAX: Final = 4_000


@dataclass(frozen=True, slots=True)
class DeploymentSecrets:
    """`own`: the deployment's, the previous one behind it while it is valid.

    `shared`: they sign themselves, too, as they did before each origin had its own.
    `rotated`: by origin, how often, and whether the one before signs, too.
    """

    own: tuple[SecretStr, ...]
    shared: bool
    rotated: Mapping[str, tuple[int, bool]]

    def of(self, url: URL) -> tuple[SecretStr, ...]:
        """What signs a delivery to this url, the present one first."""
        origin = origin_of(url)
        generation, overlapping = self.rotated.get(origin, (0, False))
        found = [derived(own, origin, generation) for own in self.own]
        if overlapping:
            found.append(derived(self.own[0], origin, generation - 1))
        return (*found, *(self.own if self.shared else ()))


def origin_of(url: URL) -> str:
    """Scheme, host and port, the port only where it is not the scheme's own."""
    return str(url.origin())


@lru_cache(maxsize=_DERIVED_KEPT_MAX)
def derived(own: SecretStr, origin: str, generation: int) -> SecretStr:
    """The secret of an origin, of the form of every other one."""
    info = b"\0".join((_INFO, origin.encode(), str(generation).encode()))
    key = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(decode_secret(own))
    return SecretStr(PREFIX + base64.b64encode(key).decode())


async def fetch_or_create_secrets(conn: Connection, keyring: Keyring = NO_KEYS) -> DeploymentSecrets:
    """Errors: `Unreadable`.

    Transaction: the caller's; several processes that are first at once end with the same one.
    """
    found = await store.fetch_signing_secrets(conn, keyring)
    if found is None:
        await store.insert_signing_secret(conn, generate_secret(), keyring)
        found = await store.fetch_signing_secrets(conn, keyring)
    if found is None:
        raise RuntimeError("the deployment's secret went away while it was made")
    return DeploymentSecrets(*found, await store.list_signing_origins(conn))


async def rotate(
    conn: Connection, url: URL, *, overlap_s: float = OVERLAP_S, keyring: Keyring = NO_KEYS
) -> SecretStr:
    """A new secret for the url's origin; the present one signs too for `overlap_s`, 0 where it has leaked.

    Errors: `InvalidInput` for an overlap of more than 30 days. Transaction: the caller's.
    """
    check_overlap(overlap_s)
    await store.rotate_signing_origin(conn, origin_of(url), overlap_s=overlap_s)
    return (await fetch_or_create_secrets(conn, keyring)).of(url)[0]
