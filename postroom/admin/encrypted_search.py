"""Looking for one person in what only the keys can open."""

from __future__ import annotations

import re
from uuid import UUID

from postroom.base.db import Connection, query
from postroom.channels.stripe.encryption import open_object
from postroom.encryption.keyring import Keyring, Unreadable
from postroom.outbox.encryption import open_payload

_MESSAGES = query(__package__, "erasure_encrypted_messages")
_OBJECTS = query(__package__, "erasure_encrypted_objects")
_ERASE_OBJECTS = query(__package__, "erase_encrypted_objects")


async def find_messages(
    conn: Connection, after: UUID, mark: UUID, pattern: re.Pattern[str], keyring: Keyring
) -> tuple[list[UUID], int]:
    """Returns: encrypted messages of a batch that hold it, and how many no key opens.

    They are fetched a few at a time: a payload may have 10 MB.
    """
    found, unreadable = [], 0
    async for row in conn.cursor(_MESSAGES, after, mark):
        try:
            if pattern.search(open_payload(row["id"], row["kept"], keyring)):
                found.append(row["id"])
        except Unreadable:
            unreadable += 1
    return found, unreadable


async def erase_objects(conn: Connection, pattern: re.Pattern[str], keyring: Keyring) -> tuple[int, int]:
    """Forget encrypted objects that hold it. Returns: how many, and how many no key opens."""
    found: list[tuple[str, str]] = []
    unreadable = 0
    async for account, object_id, kept in conn.cursor(_OBJECTS):
        try:
            if pattern.search(open_object(account, object_id, kept, keyring)):
                found.append((account, object_id))
        except Unreadable:
            unreadable += 1
    await conn.execute(_ERASE_OBJECTS, [account for account, _ in found], [each for _, each in found])
    return len(found), unreadable
