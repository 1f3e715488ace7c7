"""Who wants no more mail of one category from one tenant. Mail without one is essential and ignores it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from postroom.base.db import Connection, query
from postroom.base.errors import InvalidInput, NotFound
from postroom.channels.email.payload import CATEGORY, CATEGORY_RULE
from postroom.channels.email.suppressions import normalise

_INSERT = query(__package__, "insert_unsubscribed")
_DELETE = query(__package__, "delete_unsubscribed")
_LIST = query(__package__, "list_unsubscribed")

TENANT_CHARACTERS_MAX: Final = 200
"""Of a message's tenant."""


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """`message_id`: the mail whose link was followed; `None` where an operator noted the wish."""

    address: str
    tenant: str
    category: str
    message_id: UUID | None
    created_at: datetime


async def unsubscribe(
    conn: Connection, *, address: str, tenant: str, category: str, message_id: UUID | None = None
) -> tuple[str, bool]:
    """From the next attempt on nothing of this category goes there.

    Returns: the address as it is kept, and whether the wish is new. Errors: `InvalidInput` naming the field.
    Transaction: the caller's.
    """
    if len(tenant) > TENANT_CHARACTERS_MAX:
        raise InvalidInput(f"a tenant has at most {TENANT_CHARACTERS_MAX} characters", field="tenant")
    if not CATEGORY.fullmatch(category):
        raise InvalidInput(CATEGORY_RULE, field="category")
    normal = normalise(address)
    is_new: bool = await conn.fetchval(_INSERT, normal, tenant, category, message_id)
    return normal, is_new


async def resubscribe(conn: Connection, *, address: str, tenant: str, category: str) -> str:
    """Mail of this category may go there again. What was left out meanwhile is not sent after all.

    Returns: the address as it was kept. Errors: `NotFound`. Transaction: the caller's.
    """
    normal = normalise(address)
    if not await conn.fetchval(_DELETE, normal, tenant, category):
        raise NotFound("this address has not unsubscribed from that")
    return normal


async def list_unsubscribed(
    conn: Connection,
    *,
    address: str | None = None,
    above: tuple[str, str, str] | None = None,
    limit: int = 50,
) -> list[Unsubscribed]:
    """By address, tenant and category; `above` continues after the last one seen."""
    only = None if address is None else normalise(address)
    rows = await conn.fetch(_LIST, only, *(above or (None, None, None)), limit)
    return [Unsubscribed(**row) for row in rows]
