"""What the ledger holds of one person, found and emptied batch by batch. The caller owns the transaction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from postroom.base.db import Connection, Record, query
from postroom.encryption.keyring import Keyring, Unreadable
from postroom.outbox.encryption import decrypt_payload

_NEXT_MARK = query(__package__, "erasure_next_mark")
_ENCRYPTED = query(__package__, "erasure_encrypted_messages")
_FIND = query(__package__, "erasure_find_messages")
_LETTERS = query(__package__, "erase_letters")
_MESSAGES = query(__package__, "erase_messages")
_ATTEMPTS = query(__package__, "erase_attempts")
_REPLAYS = query(__package__, "erase_replays")


async def fetch_batch_end(conn: Connection, after: UUID, *, batch_max: int) -> UUID | None:
    """The last id of the next batch; None at the end of the ledger."""
    end: UUID | None = await conn.fetchval(_NEXT_MARK, after, batch_max)
    return end


async def find_encrypted(
    conn: Connection, after: UUID, end: UUID, pattern: re.Pattern[str], keyring: Keyring
) -> tuple[list[UUID], int]:
    """Returns: encrypted messages of a batch that hold it, and how many no key opens.

    They are fetched a few at a time: a payload may have 10 MB.
    """
    found, unreadable = [], 0
    async for row in conn.cursor(_ENCRYPTED, after, end):
        try:
            if pattern.search(decrypt_payload(row["id"], row["kept"], keyring)):
                found.append(row["id"])
        except Unreadable:
            unreadable += 1
    return found, unreadable


async def find_messages(
    conn: Connection, after: UUID, end: UUID, pattern: str, encrypted: Sequence[UUID]
) -> list[Record]:
    """`id` and `is_open` of the messages of a batch that hold it, and of those that are named."""
    return list(await conn.fetch(_FIND, after, end, pattern, encrypted))


async def erase_messages(
    conn: Connection, after: UUID, end: UUID, pattern: str, ended: Sequence[UUID]
) -> tuple[int, int, int]:
    """Empty messages that have ended, give up their dead letters, take the address out of attempts.

    Returns: how many messages, dead letters and attempts.
    """
    letters: int = await conn.fetchval(_LETTERS, ended)
    messages: int = await conn.fetchval(_MESSAGES, ended, pattern)
    attempts: int = await conn.fetchval(_ATTEMPTS, after, end, pattern, ended)
    return messages, letters, attempts


async def erase_replays(conn: Connection, pattern: str) -> int:
    """Take the address out of what replays were asked for. Returns: how many of them."""
    count: int = await conn.fetchval(_REPLAYS, pattern)
    return count
