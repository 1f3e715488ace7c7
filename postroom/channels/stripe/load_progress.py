"""How far the first load of all objects is, type by type. The caller owns the transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from postroom.base.db import Connection, query

_BEGIN = query(__package__, "begin_load")
_LIST = query(__package__, "list_load")
_MOVE = query(__package__, "move_load")
_END = query(__package__, "end_load")
_RESTART = query(__package__, "restart_load")


@dataclass(frozen=True, slots=True)
class TypeLoad:
    """One type of object of one account. `after`: the last object that was stored.

    `left_out`: why Stripe did not list it; it has ended then.
    """

    account: str
    live: bool
    type: str
    after: str | None
    objects: int
    began_at: datetime
    ended_at: datetime | None
    left_out: str | None

    @property
    def state(self) -> str:
        if self.left_out is not None:
            return "left out"
        if self.ended_at is not None:
            return "loaded"
        return "waits" if self.after is None else "loads"


async def begin(conn: Connection, *, account: str, live: bool, types: Sequence[str], again: bool) -> int:
    """Ask for these types. `again`: those that have ended, too. Returns: how many were not asked for yet."""
    return int(await conn.fetchval(_BEGIN, account, live, list(types), again))


async def list_types(
    conn: Connection, *, account: str | None = None, live: bool | None = None
) -> list[TypeLoad]:
    return [TypeLoad(**row) for row in await conn.fetch(_LIST, account, live)]


async def move(conn: Connection, load: TypeLoad, *, to: str | None, objects: int, last: bool) -> bool:
    """False where somebody else has moved it: what was stored beside it must be rolled back."""
    found = await conn.fetchval(_MOVE, load.account, load.live, load.type, load.after, to, objects, last)
    return found is not None


async def end(conn: Connection, load: TypeLoad, *, left_out: str) -> None:
    await conn.execute(_END, load.account, load.live, load.type, left_out)


async def restart(conn: Connection, load: TypeLoad) -> None:
    await conn.execute(_RESTART, load.account, load.live, load.type)
