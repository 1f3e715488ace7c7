"""How far calls to Stripe have come. The caller owns the transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from postroom.base.db import Connection, query

_BEGIN = query(__package__, "begin_call")
_FORGET = query(__package__, "forget_sending")
_RENEW = query(__package__, "renew_call")
_ANSWER = query(__package__, "answer_call")
_DECIDE = query(__package__, "decide_call")
_PRUNE = query(__package__, "prune_calls")


@dataclass(frozen=True, slots=True)
class Begun:
    """`sends`: so many attempts under this key may have reached Stripe, this one included; the first began at
    `sent_at`. `at`: now, by the database's clock. `answered`: Stripe has done it, and told so."""

    key_no: int
    sends: int
    sent_at: datetime
    at: datetime
    answered: bool
    object_id: str | None


async def begin_call(conn: Connection, message_id: UUID, *, account: str) -> Begun:
    """Transaction: must be committed before anything is sent."""
    [row] = await conn.fetch(_BEGIN, message_id, account)
    return Begun(*row)


async def forget_sending(conn: Connection, message_id: UUID, *, key_no: int) -> None:
    """An attempt has not reached Stripe. Another one under this key that may have reached it stays noted."""
    await conn.execute(_FORGET, message_id, key_no)


async def renew_call(conn: Connection, message_id: UUID, *, key_no: int, told: bool) -> None:
    """It was refused for good under this key, so the next attempt has a new one.

    `told`: Stripe has said so of the key itself, whatever else was sent under it.
    """
    await conn.execute(_RENEW, message_id, key_no, told)


async def answer_call(
    conn: Connection,
    message_id: UUID,
    *,
    status: int,
    request_id: str | None,
    api_version: str | None,
    object_type: str | None,
    object_id: str | None,
) -> None:
    """The first answer stays."""
    await conn.execute(_ANSWER, message_id, status, request_id, api_version, object_type, object_id)


async def decide_call(conn: Connection, message_id: UUID, *, done: bool, object_id: str | None) -> bool:
    """What a person has found at Stripe. Returns: False where no call waits for that."""
    return await conn.fetchval(_DECIDE, message_id, done, object_id) is not None


async def prune_calls(conn: Connection, *, days: int, batch_max: int) -> int:
    """Returns: how many; fewer than `batch_max` means done."""
    return len(await conn.fetch(_PRUNE, days, batch_max))
