"""The directory: which ledger has which tenant. Each keeps a copy: none is needed to find another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from postroom.base.db import Connection, query
from postroom.base.errors import Conflict
from postroom.base.slots import SLOTS as SLOTS
from postroom.base.slots import slot_of as slot_of

_READ: Final = query(__package__, "read_directory")
_PUT_NEWER: Final = query(__package__, "put_newer")


@dataclass(frozen=True, slots=True)
class Directory:
    """One ledger's copy, or what several make together.

    `slots`: the ledger of each; empty where there is one ledger only. `tenants`: those that are not where
    their slot says, with the `epochs` in which that was decided. `name`: the ledger whose copy this is.
    """

    epoch: int
    slots: tuple[str, ...]
    tenants: Mapping[str, str]
    epochs: Mapping[str, int] = field(default_factory=dict)
    name: str | None = None

    def ledger_of(self, tenant: str) -> str:
        """The ledger that has this tenant. Errors: `Conflict` where there is no directory."""
        if not self.slots:
            raise Conflict("this ledger is in no directory: run 'postroom ledger add'")
        return self.tenants.get(tenant) or self.slots[slot_of(tenant)]


async def read_directory(conn: Connection) -> Directory:
    """This ledger's copy. It may be behind others: see `newest`.

    Transaction: none is open; one would hold up whoever moves a tenant.
    """
    row = await conn.fetchrow(_READ)
    if row is None:
        raise Conflict("the directory's row is missing: restore postroom.ledger_directory")
    return Directory(
        epoch=row["epoch"],
        slots=tuple(row["slots"]),
        tenants=dict(zip(row["tenants"], row["ledgers"], strict=True)),
        epochs=dict(zip(row["tenants"], row["epochs"], strict=True)),
        name=row["name"],
    )


async def put_newer(conn: Connection, directory: Directory) -> None:
    """Take over which tenants are at other ledgers, as far as this ledger's copy does not know it yet."""
    own = await read_directory(conn)
    newer = [each for each, epoch in directory.epochs.items() if epoch > own.epochs.get(each, -1)]
    if newer:
        ledgers = [directory.tenants[each] for each in newer]
        epochs = [directory.epochs[each] for each in newer]
        await conn.execute(_PUT_NEWER, newer, ledgers, epochs)


def newest(copies: Iterable[Directory]) -> Directory:
    """What these copies say together: of each tenant what was decided last. Slots are given once.

    Errors: `Conflict` where they have different slots.
    """
    slots: tuple[str, ...] = ()
    tenants: dict[str, str] = {}
    epochs: dict[str, int] = {}
    epoch = 0
    for copy in copies:
        if slots and copy.slots and copy.slots != slots:
            raise Conflict(f"the ledger {copy.name} is of another directory: its slots are different ones")
        slots = slots or copy.slots
        epoch = max(epoch, copy.epoch)
        for tenant, ledger in copy.tenants.items():
            if copy.epochs[tenant] > epochs.get(tenant, -1):
                tenants[tenant], epochs[tenant] = ledger, copy.epochs[tenant]
    return Directory(epoch, slots, tenants, epochs)
