"""Addresses that are never mailed again, each with the reason somebody gave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from postroom.base.db import Connection, fetch_one, query
from postroom.base.errors import InvalidInput, NotFound
from postroom.channels.email.address import recipient

_INSERT = query(__package__, "insert_suppression")
_DELETE = query(__package__, "delete_suppression")
_IS_SUPPRESSED = query(__package__, "is_suppressed")
_LIST = query(__package__, "list_suppressions")

REASON_LENGTH_MAX = 500
ADDRESS_LENGTH_MAX = 320


@dataclass(frozen=True, slots=True)
class Suppression:
    address: str
    reason: str
    created_at: datetime


def normalise(text: str) -> str:
    """The form in which addresses are kept and compared: lower case, the domain in ASCII.

    Errors: `InvalidPayload` for field `address`.
    """
    return recipient(text, field="address").addr_spec.lower()


async def suppress(conn: Connection, *, address: str, reason: str) -> tuple[Suppression, str | None]:
    """From the next attempt on nothing goes there; a known address takes the new reason.

    Returns: what is kept, and the reason that it had before.
    Errors: `InvalidInput` naming the field. Transaction: the caller's.
    """
    if not 1 <= len(reason) <= REASON_LENGTH_MAX or not reason.isprintable():
        raise InvalidInput(f"a reason is 1 to {REASON_LENGTH_MAX} printable characters", field="reason")
    row = dict(await fetch_one(conn, _INSERT, normalise(address), reason))
    old_reason = row.pop("old_reason")
    return Suppression(**row), old_reason


async def release(conn: Connection, *, address: str) -> tuple[str, str]:
    """Mail may go there again. What was left out meanwhile is not sent after all.

    Returns: the address as it was kept, and why. Errors: `NotFound`. Transaction: the caller's.
    """
    normal = normalise(address)
    reason: str | None = await conn.fetchval(_DELETE, normal)
    if reason is None:
        raise NotFound("this address is not suppressed")
    return normal, reason


async def is_suppressed(conn: Connection, address: str) -> bool:
    """`address` in lower case."""
    found: bool = await conn.fetchval(_IS_SUPPRESSED, address)
    return found


async def list_suppressions(
    conn: Connection, *, above: str | None = None, limit: int = 50
) -> list[Suppression]:
    """By address; `above` continues after the last one seen."""
    return [Suppression(**row) for row in await conn.fetch(_LIST, above, limit)]
