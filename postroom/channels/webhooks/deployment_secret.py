"""The deployment's own secret: it signs deliveries to a `url` of the payload.

Such a receiver belongs to no endpoint, so it has no secret of its own. The secret is made at
first use, lives in the database beside those of the endpoints, and is rotated like them.
"""

from __future__ import annotations

from pydantic import SecretStr

from postroom.base.db import Connection
from postroom.channels.webhooks import store
from postroom.channels.webhooks.endpoints import OVERLAP_S
from postroom.channels.webhooks.signing import generate_secret


async def fetch_or_create_secrets(conn: Connection) -> tuple[SecretStr, ...]:
    """The current secret first, then the previous one while it is valid.

    Transaction: the caller's; several processes that are first at once end with the same one.
    """
    found = await store.fetch_signing_secrets(conn)
    if found:
        return found
    await store.insert_signing_secret(conn, generate_secret())
    return await store.fetch_signing_secrets(conn)


async def rotate(conn: Connection) -> SecretStr:
    """A new secret; both sign for 24 h. Transaction: the caller's."""
    await fetch_or_create_secrets(conn)
    secret = generate_secret()
    await store.rotate_signing_secret(conn, secret, overlap_s=OVERLAP_S)
    return secret
