"""What Stripe told of one person, forgotten. The caller owns the transaction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from postroom.base.db import Connection, query
from postroom.channels.stripe.encryption import open_object
from postroom.encryption.keyring import Keyring, Unreadable

_BODIES = query(__package__, "erase_bodies")
_OBJECTS = query(__package__, "erase_objects")
_LIST_ENCRYPTED = query(__package__, "list_encrypted_objects")
_ENCRYPTED = query(__package__, "erase_encrypted_objects")


async def erase_bodies(conn: Connection, message_ids: Sequence[UUID]) -> None:
    """The signed bodies of these messages."""
    await conn.execute(_BODIES, message_ids)


async def erase_objects(
    conn: Connection, pattern: str, opened: re.Pattern[str], keyring: Keyring
) -> tuple[int, int]:
    """Mirrored objects that hold it, and what gave access to the customers among them.

    `pattern` is PostgreSQL's, `opened` the same for encrypted ones.
    Returns: how many, and how many no key opens.
    """
    found: list[tuple[str, str]] = []
    unreadable = 0
    async for account, object_id, kept in conn.cursor(_LIST_ENCRYPTED):
        try:
            if opened.search(open_object(account, object_id, kept, keyring)):
                found.append((account, object_id))
        except Unreadable:
            unreadable += 1
    encrypted: int = await conn.fetchval(
        _ENCRYPTED, [account for account, _ in found], [each for _, each in found]
    )
    plain: int = await conn.fetchval(_OBJECTS, pattern)
    return encrypted + plain, unreadable
