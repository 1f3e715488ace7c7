"""A ledger in its database, as a move of a tenant needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import UUID

import asyncpg

from postroom.admin.audit import Actor, record
from postroom.base import json
from postroom.base.db import Connection, fetch_one, plan_by_blocks, query
from postroom.base.errors import Conflict
from postroom.ledgers.directory import Directory, put_newer, read_directory
from postroom.ledgers.model import Busy, Entry, Key, Ledger, Open, Step

_FETCH_ENTRY: Final = query(__package__, "fetch_entry")
_CHANGE: Final = query(__package__, "change_tenants")
_PUT_ENTRY: Final = query(__package__, "put_entry")
_MARK_COPIED: Final = query(__package__, "mark_copied")
_HORIZON: Final = query(__package__, "fetch_horizon")
_LIST_KEYS: Final = query(__package__, "list_keys")
_LIST_NEW_KEYS: Final = query(__package__, "list_new_keys")
_INSERT_KEYS: Final = query(__package__, "insert_keys")
_COUNT_OPEN: Final = query(__package__, "count_open")
_RELEASE: Final = query(__package__, "release_held")
_FETCH_BELONGINGS: Final = query(__package__, "fetch_belongings")
_PUT_BELONGINGS: Final = query(__package__, "put_belongings")
_REMOVE_BELONGINGS: Final = query(__package__, "remove_belongings")
_LIST_CURSORS: Final = query(__package__, "list_cursors")
_SET_CURSORS_BACK: Final = query(__package__, "set_cursors_back")
_REFRESH_CUSTOMER: Final = query(__package__, "refresh_customer")
_PUT_SUPPRESSIONS: Final = query(__package__, "put_suppressions")
_LIST_SUPPRESSIONS: Final = query(__package__, "list_suppressions")

SCAN_AT_ONCE: Final = 20_000
KEYS_AT_ONCE: Final = 5_000
RELEASED_AT_ONCE: Final = 1_000


class DatabaseLedger(Ledger):
    """Promise: a call is one transaction in this ledger, with an audit row where it changes who takes whom.

    Does not promise: that the database is the one of that name; `check_name` looks.
    """

    def __init__(self, name: str, conn: Connection, *, actor: Actor) -> None:
        self.name = name
        self._conn = conn
        self._actor = actor

    async def check_name(self) -> None:
        """Errors: `Conflict` where it is in no directory yet, or has another name there."""
        row = await fetch_one(self._conn, _FETCH_ENTRY, "")
        if row["name"] is None or not row["ready"]:
            raise Conflict(f"the ledger {self.name} is not in the directory yet: run 'postroom ledger add'")
        if row["name"] != self.name:
            raise Conflict(
                f"the database of the ledger {self.name} is that of {row['name']}: its settings are wrong"
            )

    async def fetch_entry(self, tenant: str) -> Entry | None:
        row = await fetch_one(self._conn, _FETCH_ENTRY, tenant)
        if row["ledger"] is None:
            return None
        step = Step(row["step"]) if row["step"] else None
        return Entry(row["ledger"], row["epoch"], step, row["source"], row["copied_xid"], row["changed_at"])

    async def fetch_directory(self) -> Directory:
        return await read_directory(self._conn)

    async def change(self, tenant: str, *, seen: Entry | None, to: Entry, waits: bool) -> bool:
        """See `Ledger`. Errors: `Busy`, after a tenth of a second."""
        try:
            async with self._conn.transaction():
                if waits:
                    await self._conn.execute(_CHANGE)
                put: str | None = await self._conn.fetchval(
                    _PUT_ENTRY, tenant, seen.epoch if seen else None, to.ledger, to.epoch, to.step, to.source
                )
                if put is not None:
                    detail = {"ledger": to.ledger, "epoch": to.epoch, "step": to.step, "source": to.source}
                    await record(self._conn, self._actor, "tenant.move", tenant, **detail)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            raise Busy(f"an open transaction has published in {self.name}, or reads its tables") from None
        return put is not None

    async def put_newer(self, directory: Directory) -> None:
        await put_newer(self._conn, directory)

    async def fetch_horizon(self) -> int:
        xid: int = await self._conn.fetchval(_HORIZON)
        return xid

    async def list_keys(self, tenant: str, since: int | None) -> AsyncIterator[Sequence[Key]]:
        """All keys of the tenant, or those of the transaction `since` and later ones, a batch at a time."""
        if since is None:
            async for batch in self._walk(tenant):
                yield batch
            return
        async with self._conn.transaction():
            await plan_by_blocks(self._conn)
            found = await self._conn.cursor(_LIST_NEW_KEYS, tenant, since)
            while rows := await found.fetch(KEYS_AT_ONCE):
                yield [Key(*row) for row in rows]

    async def _walk(self, tenant: str) -> AsyncIterator[Sequence[Key]]:
        after = UUID(int=0)
        while rows := await self._conn.fetch(_LIST_KEYS, tenant, after, SCAN_AT_ONCE):
            after = rows[-1]["id"]
            yield [Key(*row) for row in rows[:-1]]

    async def insert_keys(self, tenant: str, source: str, keys: Sequence[Key]) -> None:
        if keys:
            await self._conn.execute(
                _INSERT_KEYS, tenant, f"ledger:{source}", *map(list, zip(*keys, strict=True))
            )

    async def mark_copied(self, tenant: str, entry: Entry, horizon: int) -> None:
        await self._conn.execute(_MARK_COPIED, tenant, entry.epoch, horizon)

    async def count_open(self, tenant: str) -> list[Open]:
        return [Open(*row) for row in await self._conn.fetch(_COUNT_OPEN, tenant)]

    async def release(self, tenant: str) -> int:
        """Let go some of what was held. Returns how many; none is left when it is 0."""
        row = await fetch_one(self._conn, _RELEASE, tenant, RELEASED_AT_ONCE)
        count: int = row["count"]
        return count

    async def copy_belongings(self, tenant: str, to: Ledger) -> None:
        """Endpoints, limits and unsubscribes of the tenant.

        What of these the other one has of its own stays, but for limits and endpoints of the same id.
        """
        conn = _connection_of(to)
        row = await fetch_one(self._conn, _FETCH_BELONGINGS, tenant)
        ids = [each["id"] for each in json.decode(row["endpoints"])]
        async with conn.transaction():
            await conn.execute(_REMOVE_BELONGINGS, tenant, ids)
            await conn.execute(_PUT_BELONGINGS, row["endpoints"], row["unsubscribed"], row["limits"])

    async def copy_cursors(self, tenant: str, to: Ledger) -> None:
        """What the old one has not compared with Stripe's list, the new one compares. A customer of Stripe's
        that the old one has mirrored is fetched by the new one."""
        conn = _connection_of(to)
        row = await fetch_one(self._conn, _LIST_CURSORS, tenant)
        async with conn.transaction():
            await conn.execute(_SET_CURSORS_BACK, row["cursors"])
            if to is not self:
                await conn.execute(_REFRESH_CUSTOMER, tenant, row["accounts"])

    async def copy_suppressions(self, to: Ledger) -> None:
        """All addresses that are never mailed: none is of a tenant."""
        conn = _connection_of(to)
        after = ""
        while rows := await self._conn.fetch(_LIST_SUPPRESSIONS, after, KEYS_AT_ONCE):
            after = rows[-1]["address"]
            page = f"[{','.join(each['row'] for each in rows)}]"
            await conn.execute(_PUT_SUPPRESSIONS, page)


def _connection_of(ledger: Ledger) -> Connection:
    if not isinstance(ledger, DatabaseLedger):
        raise TypeError("what is in a database goes to another one")
    return ledger._conn
