"""Ledgers enter the directory: the first ones share the slots, by weight; later ones get none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from postroom.admin.audit import Actor, record
from postroom.base.db import Connection, fetch_one, query
from postroom.base.errors import Conflict, Unavailable
from postroom.ledgers.directory import SLOTS, Directory, newest, put_newer, read_directory

_NAME: Final = query(__package__, "name_ledger")
_IS_USED: Final = query(__package__, "is_used")
_COUNT_OLDER: Final = query(__package__, "count_older_snapshots")
_MARK_READY: Final = query(__package__, "mark_ready")
_CURRENT_XID: Final = query(__package__, "current_xid")

POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Added:
    """What `add_ledgers` did: the ledgers that are new in the directory, and the slots of each."""

    new: list[str]
    slots: dict[str, int]


def share_slots(weights: Mapping[str, int]) -> tuple[str, ...]:
    """The ledger of each slot: to each so many as its weight says, one behind the other."""
    total, before = sum(weights.values()), 0
    slots: list[str] = []
    for name, weight in sorted(weights.items()):
        before += weight
        slots += [name] * (before * SLOTS // total - len(slots))
    return tuple(slots)


async def add_ledgers(
    ledgers: Mapping[str, Connection], weights: Mapping[str, int], *, actor: Actor, wait_s: float
) -> Added:
    """Take these ledgers into the directory, and tell each what it does not know. May be run again.

    Where there is no directory, those that have messages share the slots, or all if none has. `weights`: of
    all that are set up. Errors: `Conflict` where one has another name; `Unavailable` where one cannot be
    reached before there is a directory, or where a transaction stays open that began before it.
    """
    copies = {name: await read_directory(conn) for name, conn in ledgers.items()}
    for name, copy in copies.items():
        if copy.name not in (None, name):
            raise Conflict(
                f"the database of the ledger {name} is that of {copy.name}: its settings are wrong"
            )
    known = newest(copies.values())
    if not known.slots:
        if missing := sorted(weights.keys() - ledgers.keys()):
            raise Unavailable(f"{', '.join(missing)}: cannot be reached; all are needed to share the slots")
        used = {name for name, conn in ledgers.items() if await conn.fetchval(_IS_USED)}
        sharing = {name: weights[name] for name in used or ledgers}
        known = Directory(1, share_slots(sharing), {})
    new = [name for name, copy in copies.items() if copy.name is None]
    for name, conn in ledgers.items():
        async with conn.transaction():
            if name in new:
                await conn.execute(_NAME, name, list(known.slots), known.epoch)
                await record(conn, actor, "ledger.add", name)
            await put_newer(conn, known)
    for name, conn in ledgers.items():
        await _wait_for_older(name, conn, wait_s)
    return Added(new, {name: known.slots.count(name) for name in weights})


async def _wait_for_older(name: str, conn: Connection, wait_s: float) -> None:
    """A transaction that cannot see the ledger's name would not see either that a tenant has left."""
    xid = await conn.fetchval(_CURRENT_XID)
    until = asyncio.get_running_loop().time() + wait_s
    while True:
        row = await fetch_one(conn, _COUNT_OLDER, xid)
        if not row["count"]:
            break
        if asyncio.get_running_loop().time() >= until:
            raise Unavailable(
                f"{name}: {row['count']} transactions are open that began before this, of the processes "
                f"{row['processes']}: run the command again when they have ended"
            )
        await asyncio.sleep(POLL_S)
    await conn.execute(_MARK_READY)
