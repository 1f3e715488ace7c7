"""Receivers and breakers as people know them: a url and a tenant instead of an id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from postroom.base.db import Connection, Record, query
from postroom.base.ids import uuid_or_none

WEBHOOK: Final = "webhook:"
LOOKED_AT: Final = 30
"""So many of a tenant's newest messages are asked for the last answer of an endpoint."""

_RECEIVERS = query(__package__, "list_receivers")
_BREAKERS = query(__package__, "list_breakers")
_CIRCUITS = query(__package__, "list_circuits")
_LAST_ANSWER = query(__package__, "last_answer")


@dataclass(frozen=True, slots=True)
class Receiver:
    """An endpoint that exists."""

    id: UUID
    tenant: str
    url: str


def breaker_of(endpoint_id: UUID) -> str:
    """The name under which the engine keeps the breaker of an endpoint."""
    return f"{WEBHOOK}{endpoint_id}"


async def fetch_receivers(conn: Connection, names: Iterable[str]) -> dict[str, Receiver]:
    """The endpoints behind destinations or names of breakers; by the name as it was given.

    A host, a mail address or an endpoint that was deleted has none.
    """
    ids = {name: found for name in names if (found := uuid_or_none(name.removeprefix(WEBHOOK)))}
    if not ids:
        return {}
    rows = await conn.fetch(_RECEIVERS, list(set(ids.values())))
    known = {row["id"]: Receiver(**row) for row in rows}
    return {name: known[each] for name, each in ids.items() if each in known}


async def fetch_breakers(conn: Connection, endpoint_ids: Sequence[UUID]) -> dict[UUID, Record]:
    """The breakers of endpoints; one that never opened has none."""
    rows = await conn.fetch(_BREAKERS, [breaker_of(each) for each in endpoint_ids])
    return {UUID(row["name"].removeprefix(WEBHOOK)): row for row in rows}


async def fetch_last_answer(conn: Connection, endpoint_id: UUID, *, tenant: str) -> Record | None:
    """`message_id`, `outcome`, `code`, `reason`, `ended_at`; None where the newest have no attempt."""
    return await conn.fetchrow(_LAST_ANSWER, endpoint_id, tenant, LOOKED_AT)


async def list_circuits(conn: Connection, *, state: str | None, after: str, limit: int) -> list[Record]:
    """By name: those that are not closed, those that are held, and always `stripe` and `email`."""
    return list(await conn.fetch(_CIRCUITS, after, state, limit))
