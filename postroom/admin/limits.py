"""What an operator does to a limit."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from postroom.admin.audit import Actor, record
from postroom.admin.channels import REASON_LENGTH_MAX, check_name
from postroom.base.db import Connection
from postroom.base.errors import InvalidInput, InvalidPayload, NotFound
from postroom.channels.email.address import recipient
from postroom.outbox import limits
from postroom.outbox.limits import LimitKey
from postroom.outbox.model import Channel

COUNT_MAX: Final = 200
"""Each claim compares what it finds with those that have little room."""
NAME_LENGTH_MAX: Final = 200
PER_SECOND_MIN: Final = 0.001
MOST: Final = 1_000_000


async def set_limit(
    conn: Connection,
    key: LimitKey,
    *,
    per_second: float | None = None,
    in_flight: int | None = None,
    reason: str = "",
    actor: Actor,
) -> LimitKey:
    """Limit all of a channel, one tenant on it or one destination, all runners together.

    It replaces one for the same. From a second after the commit on, for what is started then. Returns: what
    it is for, as it is kept: a domain in lower case and in ASCII. Errors: `NotFound` naming the channels;
    `InvalidInput` naming the field. Transaction: the caller's.
    """
    check_name(key.channel)
    _check_key(key)
    key = _as_kept(key)
    _check_most(per_second, in_flight)
    if await limits.count_others(conn, key) >= COUNT_MAX:
        raise InvalidInput(f"there are {COUNT_MAX} limits already; remove one first", field="channel")
    reason = reason[:REASON_LENGTH_MAX] or f"set by {actor.name}"
    old = await limits.set_limit(
        conn, key, per_second=per_second, in_flight=in_flight, reason=reason, set_by=actor.name
    )
    detail = {**_narrowed(key), "per_second": per_second, "in_flight": in_flight, "old": old}
    await record(conn, actor, "limit.set", key.channel, **detail, reason=reason)
    return key


async def remove_limit(conn: Connection, key: LimitKey, *, actor: Actor) -> LimitKey:
    """End a limit. Returns: what it was for. Errors: `NotFound`. Transaction: the caller's."""
    check_name(key.channel)
    with suppress(InvalidInput):  # whatever is there can be removed
        key = _as_kept(key)
    old = await limits.remove_limit(conn, key)
    if old is None:
        raise NotFound("there is no such limit; those that are: postroom limit list")
    await record(conn, actor, "limit.remove", key.channel, **_narrowed(key), old=old)
    return key


def _as_kept(key: LimitKey) -> LimitKey:
    """Of email a destination is a domain. Errors: `InvalidInput`."""
    if key.channel != Channel.EMAIL or not key.destination:
        return key
    try:
        domain = recipient(f"a@{key.destination.removeprefix('@')}", field="destination").domain
    except InvalidPayload:
        raise InvalidInput(
            "of email it is the domain that mails go to, such as gmail.com", field="destination"
        ) from None
    return key._replace(destination=domain.lower())


def _narrowed(key: LimitKey) -> dict[str, str | None]:
    return {"tenant": key.tenant, "destination": key.destination}


def _check_key(key: LimitKey) -> None:
    if key.tenant is not None and key.destination is not None:
        raise InvalidInput("a limit is for a tenant or for a destination, not for both", field="destination")
    for field, name in _narrowed(key).items():
        if name is not None and not 0 < len(name) <= NAME_LENGTH_MAX:
            raise InvalidInput(f"{field} has 1 to {NAME_LENGTH_MAX} characters", field=field)


def _check_most(per_second: float | None, in_flight: int | None) -> None:
    if per_second is None and in_flight is None:
        raise InvalidInput("say how many a second, how many in flight, or both", field="per_second")
    if per_second is not None and not PER_SECOND_MIN <= per_second <= MOST:
        raise InvalidInput(f"per_second is between {PER_SECOND_MIN} and {MOST:,}", field="per_second")
    if in_flight is not None and not 1 <= in_flight <= MOST:
        raise InvalidInput(f"in_flight is between 1 and {MOST:,}", field="in_flight")
