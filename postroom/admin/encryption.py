"""Encryption at rest as an operator sees it: what lies under which key, and sealing it anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from postroom.base.db import Connection, Record, query
from postroom.base.encryption_keys import SETTING
from postroom.base.errors import Conflict
from postroom.channels.stripe.encryption import seal_object, seal_raw
from postroom.encryption.keyring import PREFIX, Keyring, Unreadable
from postroom.outbox.encryption import STORE_SEALED, seal_payload

BATCH_MAX: Final = 100
COUNT_BATCH_MAX: Final = 20_000
START: Final = UUID(int=0)

_STORE_BODIES = query(__package__, "encryption_store_bodies")
_STORE_OBJECTS = query(__package__, "encryption_store_objects")

Transactions = Callable[[], AbstractAsyncContextManager[Connection]]
Progress = Callable[[str, int], None]


class KeyState(StrEnum):
    """CURRENT seals; KNOWN only opens; MISSING: nobody can open it; NONE: it is not sealed."""

    CURRENT = "current"
    KNOWN = "known"
    MISSING = "missing"
    NONE = "not sealed"


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How much of a table lies under one key; `key` is None for what is not sealed."""

    table: str
    key: str | None
    state: KeyState
    count: int


@dataclass(frozen=True, slots=True)
class Rotated:
    """`sealed`: got the current key. `unreadable`: left alone, for no configured key opens it."""

    table: str
    sealed: int
    unreadable: int


Sealed = list[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class _Table:
    """One table with something to seal, walked along its key."""

    name: str
    start: tuple[object, ...]
    mark: str
    rows: str
    counts: str
    seal: Callable[[Record, Keyring], tuple[object, ...]]
    store: str


def _message(row: Record, keyring: Keyring) -> tuple[object, ...]:
    return row["id"], seal_payload(row["id"], row["kept"], keyring)


def _body(row: Record, keyring: Keyring) -> tuple[object, ...]:
    return row["id"], seal_raw(row["id"], row["kept"], keyring)


def _object(row: Record, keyring: Keyring) -> tuple[object, ...]:
    account, object_id, kept = row
    return account, object_id, seal_object(account, object_id, kept, keyring)


def _table(
    name: str, start: tuple[object, ...], seal: Callable[[Record, Keyring], tuple[object, ...]], store: str
) -> _Table:
    mark, rows, counts = (
        query(__package__, f"encryption_{what}_{name}") for what in ("mark", "list", "count")
    )
    return _Table(name, start, mark, rows, counts, seal, store)


TABLES: Final = (
    _table("messages", (START,), _message, STORE_SEALED),
    _table("bodies", (START,), _body, _STORE_BODIES),
    _table("objects", ("", ""), _object, _STORE_OBJECTS),
)


async def rotate(
    transactions: Transactions, *, keyring: Keyring, pace_per_s: float, progress: Progress
) -> list[Rotated]:
    """Seal with the first key whatever lies open or under another one, and say how it went.

    Batches of 100, each its own transaction, at most `pace_per_s` rows a second; it can be stopped and
    run again.
    Errors: `Conflict` without a key.
    """
    if keyring.current is None:
        raise Conflict(f"there is no key to seal with: set {SETTING}; postroom encryption new-key makes one")
    rotated = []
    for table in TABLES:
        sealed = unreadable = 0
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
            sealed += len(done)
            unreadable += len(rows) - len(done)
            progress(table.name, sealed)
            await asyncio.sleep(len(rows) / pace_per_s)
        rotated.append(Rotated(table.name, sealed, unreadable))
    return rotated


def _sealed(table: _Table, rows: Sequence[Record], keyring: Keyring) -> Sealed:
    done: Sealed = []
    for row in rows:
        try:
            done.append(table.seal(row, keyring))
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
