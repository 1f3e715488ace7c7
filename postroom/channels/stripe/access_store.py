"""Access in PostgreSQL, beside the mirror that it is made of. The caller owns the transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from postroom.base import json
from postroom.base.db import Connection, fetch_one, query
from postroom.base.log import get_logger
from postroom.channels.stripe.access import SOURCES, access_of
from postroom.channels.stripe.encryption import open_object
from postroom.channels.stripe.entitlements import SUMMARY
from postroom.encryption.keyring import Keyring, Unreadable

log = get_logger(__name__)

_REPLACE = query(__package__, "replace_access")
_LIST = query(__package__, "list_customer_access")
_MARK = query(__package__, "access_mark")
_GAPS = query(__package__, "list_access_gaps")
_LOCK_STATE = query(__package__, "lock_access_state")
_MARK_STATE = query(__package__, "mark_access_state")
_SET_GRACE = query(__package__, "set_access_grace")

LISTED_MAX: Final = 1_000
COMPARED: Final = (SUMMARY, "subscription")
"""Invoices are learned of from their events only: there may be millions, and they only make grace exact."""


@dataclass(frozen=True, slots=True)
class AccessRow:
    """A row of `stripe.customer_access`. `subscription`: None for a feature."""

    account: str
    livemode: bool | None
    kind: str
    name: str
    active: bool
    until: datetime | None
    why: str
    renews: bool
    as_of: datetime
    subscription: str | None


@dataclass(frozen=True, slots=True)
class Mirrored:
    """An object as the mirror has it now. `at`: when that was written; None: in this transaction."""

    account: str
    object_id: str
    data: Mapping[str, Any]
    at: datetime | None = None


async def replace_access(conn: Connection, objects: Iterable[Mirrored]) -> None:
    """What these say of access, in place of what they said before. Their rows of the mirror are locked."""
    given = [_columns(each) for each in objects if each.data.get("object") in SOURCES]
    if given:
        await conn.execute(_REPLACE, json.encode(given))


def _columns(mirrored: Mirrored) -> dict[str, Any]:
    row: dict[str, Any] = {"account": mirrored.account, "object_id": mirrored.object_id}
    access = access_of(mirrored.data)
    if access is None:
        return row
    return {
        **row,
        "customer": access.customer,
        "kind": access.kind,
        "state": access.state,
        "names": list(access.names),
        "untils": list(access.names.values()),
        "renews": access.renews,
        "due": access.due,
        "mirrored_at": mirrored.at,
    }


async def list_access(
    conn: Connection, customer: str, *, account: str | None = None, limit: int = LISTED_MAX
) -> list[AccessRow]:
    """Of all accounts, or of one."""
    return [AccessRow(*row) for row in await conn.fetch(_LIST, customer, account, limit)]


async def set_grace(conn: Connection, grace: timedelta) -> None:
    await conn.execute(_SET_GRACE, grace)


async def compare(conn: Connection, keyring: Keyring, *, rest: timedelta, batch_max: int) -> int | None:
    """Write what is missing, or made of an older state, of the next batch of mirrored objects.

    Goes on where it stopped, round after round, `rest` after the last one began.
    Returns: how many were written; None at the end of a round, and while it rests.
    """
    type_, object_id, account, due = await fetch_one(conn, _LOCK_STATE, rest)
    if not type_ and not due:
        return None
    begins, type_ = not type_, type_ or COMPARED[0]
    end = await conn.fetchrow(_MARK, type_, object_id, account, batch_max)
    if end is None:
        following = dict(zip(COMPARED, (*COMPARED[1:], ""), strict=True)).get(type_, "")
        await conn.execute(_MARK_STATE, following, "", "", begins)
        return 0 if following else None
    gaps = await conn.fetch(_GAPS, type_, object_id, account, *end)
    opened = [each for row in gaps if (each := _opened(*row, keyring=keyring)) is not None]
    await replace_access(conn, opened)
    await conn.execute(_MARK_STATE, type_, *end, begins)
    return len(opened)


def _opened(account: str, object_id: str, at: datetime, kept: str, *, keyring: Keyring) -> Mirrored | None:
    try:
        data = msgspec.json.decode(open_object(account, object_id, kept, keyring))
    except Unreadable as error:
        log.warning("stripe.access_unreadable", account=account, object_id=object_id, reason=str(error))
        return None
    return Mirrored(account, object_id, data, at)
