"""Who is not to be mailed: addresses that are suppressed, and recipients who have this mail already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from postroom.base.db import Connection, query

_LIST_EXCLUDED = query(__package__, "list_excluded")
_INSERT_ACCEPTED = query(__package__, "insert_accepted")
_FIND_ROUTE = query(__package__, "find_route")


@dataclass(frozen=True, slots=True)
class Lookup:
    """The recipients of one delivery, in the order of the message's own list."""

    message_id: UUID
    n: int
    addresses: Sequence[str]
    tenant: str = ""
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Excluded:
    """`recipient` counts from 0 in the message's own list. `reason` is set where it is suppressed."""

    recipient: int
    reason: str | None


async def list_excluded(conn: Connection, lookups: Sequence[Lookup]) -> list[list[Excluded]]:
    """Look up every recipient of many deliveries, in one round trip.

    Returns: one list a lookup, in order, by recipient. Addresses are compared in lower case.
    Transaction: the caller's; changes nothing.
    """
    found: list[list[Excluded]] = [[] for _ in lookups]
    asked = [
        (index, each.message_id, each.n, recipient, address.lower(), each.tenant, each.category)
        for index, each in enumerate(lookups)
        for recipient, address in enumerate(each.addresses)
    ]
    for row in await conn.fetch(_LIST_EXCLUDED, *map(list, zip(*asked, strict=True))):
        found[row["lookup"]].append(Excluded(row["recipient"], row["reason"]))
    return found


async def find_route(conn: Connection, message_id: UUID, n: int, created_s: float) -> str | None:
    """Through which server it went last without an answer; None: it did not, or there was but one."""
    name: str | None = await conn.fetchval(_FIND_ROUTE, message_id, n, created_s)
    return name


async def insert_accepted(conn: Connection, message_id: UUID, n: int, recipients: Sequence[int]) -> None:
    """Remember who has this mail, so that a later attempt for the others leaves them out.

    Needed only after a partial refusal. Transaction: the caller's. Once recorded, a recipient
    stays recorded until the message itself is removed.
    """
    await conn.execute(_INSERT_ACCEPTED, message_id, n, list(recipients))
