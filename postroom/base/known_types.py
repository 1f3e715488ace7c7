"""asyncpg: what PostgreSQL says of its own types is asked for once a process, not on each connection."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg

if TYPE_CHECKING:
    _Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

FIRST_OF_USERS: Final = 16_384
"""Below are PostgreSQL's own types. Their numbers are the same in every database of every version."""
_known: dict[int, list[asyncpg.Record]] = {}
# The answer's second half is the statement that asked. One with a name has not taken the place of another.
_NONE_ASKED: Final = SimpleNamespace(name="known")


class KnownTypes(_Connection):
    """A connection that knows the types that another one has met.

    asyncpg asks at each array that is new to a connection (`uuid[]`, `bytea[]`): 2 ms, ten and more on a busy
    server, five or six times on each new connection. There is no public way to tell it, so
    `_introspect_types` is overridden, which is not public.
    """

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> tuple[Any, Any]:
        wanted = set(typeoids)
        if wanted <= _known.keys():
            return [row for oid in wanted for row in _known[oid]], _NONE_ASKED
        rows, statement = await super()._introspect_types(wanted, timeout)  # type: ignore[misc]
        if all(row["oid"] < FIRST_OF_USERS for row in rows):
            _known.update(dict.fromkeys(wanted, rows))
        return rows, statement
