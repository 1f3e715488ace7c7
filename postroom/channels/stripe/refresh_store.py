"""Requests to fetch a customer's access. The caller owns the transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from postroom.base.db import Connection, query

_ASK = query(__package__, "ask_refresh")
_FETCH = query(__package__, "fetch_refresh")
_TAKE = query(__package__, "take_refresh")
_ANSWER = query(__package__, "answer_refresh")
_PRUNE = query(__package__, "prune_refreshes")
_SUBSCRIPTIONS = query(__package__, "list_subscriptions_of")

TAKEN: Final = timedelta(seconds=60)
KEPT_DAYS: Final = 1


class Code(StrEnum):
    """Why access could not be fetched."""

    NO_CUSTOMER = "no_customer"
    NO_ACCOUNT = "no_account"
    REFUSED = "refused"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Fault:
    code: Code
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    account: str
    customer: str
    asked_at: datetime


async def ask_refresh(conn: Connection, customer: str, account: str) -> datetime:
    """What `answer_of` is to be asked for. A runner hears of it when the transaction commits."""
    asked: datetime = await conn.fetchval(_ASK, customer, account)
    return asked


async def answer_of(conn: Connection, asked: Asked) -> Fault | bool:
    """True: it was fetched. False: there is no answer yet."""
    row = await conn.fetchrow(_FETCH, asked.customer, asked.account, asked.asked_at)
    if row is None:
        return False
    return True if row["code"] is None else Fault(Code(row["code"]), row["fault"])


async def take_refresh(conn: Connection) -> Asked | None:
    row = await conn.fetchrow(_TAKE, TAKEN)
    return None if row is None else Asked(**row)


async def answer_refresh(conn: Connection, asked: Asked, fault: Fault | None) -> None:
    code, text = (None, None) if fault is None else (fault.code, fault.text)
    await conn.execute(_ANSWER, asked.account, asked.customer, asked.asked_at, code, text)


async def prune_refreshes(conn: Connection, *, batch_max: int) -> int:
    return len(await conn.fetch(_PRUNE, KEPT_DAYS, batch_max))


async def list_subscriptions_of(
    conn: Connection, account: str, customer: str, *, before: datetime
) -> list[str]:
    """Those in the mirror as of earlier than `before`."""
    return [row["object_id"] for row in await conn.fetch(_SUBSCRIPTIONS, account, customer, before)]
