"""Encryption at rest as an operator sees it: what lies under which key, and encryption it anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from postroom.admin.audit import Actor, record
from postroom.base.db import Record, Transactions
from postroom.base.encryption_keys import SETTING
from postroom.base.errors import Conflict
from postroom.channels.stripe.encryption import BODIES, OBJECTS
from postroom.channels.webhooks.encryption import DEPLOYMENT_SECRET, ENDPOINTS
from postroom.encryption.keyring import PREFIX, Keyring, Unreadable
from postroom.encryption.tables import EncryptedTable
from postroom.outbox.encryption import MESSAGES

BATCH_MAX: Final = 100
COUNT_BATCH_MAX: Final = 20_000

Progress = Callable[[str, int], None]


class KeyState(StrEnum):
    """CURRENT encrypts; KNOWN only opens; MISSING: nobody can open it; NONE: it is not encrypted."""

    CURRENT = "current"
    KNOWN = "known"
    MISSING = "missing"
    NONE = "not sealed"


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How much of a table lies under one key; `key` is None for what is not encrypted."""

    table: str
    key: str | None
    state: KeyState
    count: int


@dataclass(frozen=True, slots=True)
class Rotated:
    """`encrypted`: got the current key. `unreadable`: left alone, for no configured key opens it."""

    table: str
    sealed: int
    unreadable: int


Encrypted = list[tuple[object, ...]]


TABLES: Final = (MESSAGES, BODIES, OBJECTS, ENDPOINTS, DEPLOYMENT_SECRET)


async def rotate(
    transactions: Transactions, *, keyring: Keyring, pace_per_s: float, progress: Progress, actor: Actor
) -> list[Rotated]:
    """Encrypt with the first key whatever lies open or under another one, and say how it went.

    Batches of 100, each its own transaction, at most `pace_per_s` rows a second; it can be stopped and
    run again. The trail gets one row, at the end.
    Errors: `Conflict` without a key.
    """
    if keyring.current is None:
        raise Conflict(
            f"there is no key to encrypt with: set {SETTING}; postroom encryption new-key makes one"
        )
    rotated = []
    for table in TABLES:
        if table.secrets and not keyring.derives:
            continue
        encrypted = unreadable = 0
        after = table.start
        while True:
            async with transactions() as conn:
                mark = await conn.fetchrow(table.mark, *after, BATCH_MAX)
                if mark is None:
                    break
                rows = await conn.fetch(table.rows, *after, *mark, f"{PREFIX}{keyring.current}:")
                done = _sealed(table, rows, keyring)
                if done:
                    await conn.execute(table.store, *map(list, zip(*done, strict=True)))
            after = tuple(mark)
            encrypted += len(done)
            unreadable += len(rows) - len(done)
            progress(table.name, encrypted)
            await asyncio.sleep(len(rows) / pace_per_s)
        rotated.append(Rotated(table.name, encrypted, unreadable))
    async with transactions() as conn:
        await record(conn, actor, "encryption.rotate", **{each.table: each.sealed for each in rotated})
    return rotated


def _sealed(table: EncryptedTable, rows: Sequence[Record], keyring: Keyring) -> Encrypted:
    done: Encrypted = []
    for row in rows:
        try:
            done.append(table.encrypt(row, keyring))
        except Unreadable:
            continue
    return done


async def count_keys(transactions: Transactions, *, keyring: Keyring) -> list[KeyUse]:
    """What lies under which key. Reads everything, in batches."""
    uses: list[KeyUse] = []
    for table in TABLES:
        counts: dict[str, int] = {}
        after = table.start
        while True:
            async with transactions() as conn:
                mark = await conn.fetchrow(table.mark, *after, COUNT_BATCH_MAX)
                if mark is None:
                    break
                for row in await conn.fetch(table.counts, *after, *mark):
                    counts[row["key"]] = counts.get(row["key"], 0) + row["count"]
            after = tuple(mark)
        uses += [
            KeyUse(table.name, key or None, _state(key, keyring), n) for key, n in sorted(counts.items())
        ]
    return uses


def _state(key: str, keyring: Keyring) -> KeyState:
    if not key:
        return KeyState.NONE
    if key == keyring.current:
        return KeyState.CURRENT
    return KeyState.KNOWN if key in keyring.names else KeyState.MISSING
