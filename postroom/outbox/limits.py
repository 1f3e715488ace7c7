"""Limits that all runners keep together: how much of a channel, a tenant or a destination may go out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from postroom.base.db import Connection, query
from postroom.outbox.model import Claim

_SET = query(__package__, "set_limit")
_ENSURE = query(__package__, "ensure_limit")
_KEEP = query(__package__, "keep_limit")
_DECLARE = query(__package__, "declare_limit")
_WITHDRAW = query(__package__, "withdraw_limit")
_LIST_DECLARED = query(__package__, "list_declared")
_DELAY_STARTS = query(__package__, "delay_starts")
_REMOVE = query(__package__, "remove_limit")
_LIST = query(__package__, "list_limits")
_COUNT_OTHERS = query(__package__, "count_other_limits")
_LOCK = query(__package__, "lock_limits")
_LEASE = query(__package__, "lease_limits")

PILE_S: Final = 0.2
"""What nobody starts is kept for so long, but two starts at least."""

CODE: Final = "@task"
"""Who has set a limit that the code of a task declares."""
CODE_REASON: Final = "limit_per_s of the task"

ROUTE: Final = "route:"
"""How the destination of a limit of email begins that is of a mail server; `list_controls` knows it, too."""


class LimitKey(NamedTuple):
    """What a limit is for: all of a channel, or of it one tenant or one destination."""

    channel: str
    tenant: str | None = None
    destination: str | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit, as the runners keep it: starts a second, deliveries in flight, or both.

    It is for one tenant, for one destination, or for all of a channel.
    """

    id: int
    tenant: str | None
    destination: str | None
    per_second: float | None
    in_flight: int | None


class Room(NamedTuple):
    """How many more of one tenant or one destination may be claimed now."""

    tenant: str | None
    destination: str | None
    most: int

    def counts(self, claim: Claim) -> bool:
        """Whether a claim takes some of it."""
        return claim.tenant == self.tenant or claim.limited_as == self.destination


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """One limit, as a person sees it.

    `in_flight_now`: the places that its runners have, where it limits them. `reached`: within the last minute
    something waited for it, at `reached_at` last. `declared`: what code says, a second, whoever has the word.
    """

    channel: str
    tenant: str | None
    destination: str | None
    per_second: float | None
    in_flight: int | None
    in_flight_now: int | None
    reached: bool
    reached_at: datetime | None
    reason: str
    set_by: str
    set_at: datetime
    declared: float | None = None

    @property
    def why(self) -> str:
        """Its reason, and what it takes the place of."""
        if self.declared is None or self.set_by == CODE:
            return self.reason
        return f"{self.reason} (in place of {self.declared:g} a second in the code)"

    @property
    def scope(self) -> str:
        """What it is for, within its channel."""
        if self.tenant is not None:
            return f"tenant {self.tenant}"
        if self.channel == "email" and self.destination is not None and self.destination.startswith(ROUTE):
            return f"route {self.destination.removeprefix(ROUTE)}"
        return f"destination {self.destination}" if self.destination is not None else "all of it"

    @property
    def most(self) -> str:
        """What it lets through."""
        rate = f"{self.per_second:g} a second" if self.per_second is not None else ""
        in_flight = f"{self.in_flight} in flight" if self.in_flight is not None else ""
        return ", ".join(filter(None, (rate, in_flight)))


def without(rooms: Sequence[Room], claims: Sequence[Claim]) -> Sequence[Room]:
    """What is left of them after these claims."""
    if not rooms or not claims:
        return rooms
    tenants, destinations = (Counter(getattr(c, name) for c in claims) for name in ("tenant", "limited_as"))
    return [Room(t, d, most - (tenants[t] if d is None else destinations[d])) for t, d, most in rooms]


class Wanted(NamedTuple):
    """What a worker asks of one limit: `starts` more, and `places` in all, of which `used` are in use."""

    limit_id: int
    starts: int
    places: int
    used: int


class Lease(NamedTuple):
    """What it was given. `places` may be fewer than are in use, where the limit was lowered, even negative.

    `next_start_s`: until there is one more start; None where starts are not limited.
    """

    limit_id: int
    starts: int
    places: int
    next_start_s: float | None


async def lease(conn: Connection, *, worker: int, wanted: Sequence[Wanted]) -> list[Lease]:
    """Take from limits what they leave, for this worker; a limit that is gone has no answer.

    Promise: in any T seconds no more starts are given out than `per_second` times T plus what had piled up
    (`PILE_S`); the places of all workers together never exceed `in_flight`, but while it was just lowered.
    Transaction: the caller's, of which this must be all, for it locks the limits until the end.
    """
    ids, starts, places, used = (list(column) for column in zip(*wanted, strict=True))
    await conn.execute(_LOCK, ids)
    return [Lease(*row) for row in await conn.fetch(_LEASE, worker, ids, starts, places, used, PILE_S)]


async def set_limit(
    conn: Connection,
    key: LimitKey,
    *,
    per_second: float | None = None,
    in_flight: int | None = None,
    reason: str,
    set_by: str,
) -> dict[str, Any] | None:
    """Set one, in place of another one for the same. Returns: what that one was."""
    old = await conn.fetchrow(_SET, *key, per_second, in_flight, reason, set_by)
    return None if old is None else dict(old)


async def ensure_limit(conn: Connection, key: LimitKey, *, per_second: float, reason: str) -> int:
    """The id of the limit for this, which is set as said if there is none."""
    limit_id: int = await conn.fetchval(_ENSURE, *key, per_second, reason, "postroom")
    return limit_id


async def keep_limit(
    conn: Connection, channel: str, destination: str, *, per_second: float, reason: str
) -> int:
    """The id of a limit that settings have; it is set as they say, whatever it was."""
    limit_id: int = await conn.fetchval(_KEEP, channel, destination, per_second, reason, "postroom")
    return limit_id


async def declare_limits(conn: Connection, channel: str, wanted: Mapping[str, float | None]) -> None:
    """Take over what code says of these destinations, a second, or None; of others nothing is changed.

    What a person has set for one holds until it is removed. Whoever says so last is right: during a rollout
    the code that was started last. Transaction: none, so that no two rows are locked at once.
    """
    said = {name: per_second for name, per_second in await conn.fetch(_LIST_DECLARED, channel)}
    for name, per_second in wanted.items():
        if per_second == said.get(name):
            continue
        if per_second is None:
            await conn.execute(_WITHDRAW, channel, name, CODE)
        else:
            await conn.execute(_DECLARE, channel, name, per_second, CODE_REASON, CODE)


async def delay_starts(conn: Connection, key: LimitKey, for_s: float) -> None:
    """Let nothing start under a limit for so long."""
    await conn.execute(_DELAY_STARTS, *key, for_s)


async def remove_limit(conn: Connection, key: LimitKey) -> dict[str, Any] | None:
    """Returns: what it was; None where there was none. What it took the place of in code holds again."""
    old = await conn.fetchrow(_REMOVE, *key, CODE, CODE_REASON)
    return None if old is None else dict(old)


async def count_others(conn: Connection, key: LimitKey) -> int:
    """How many limits there are for anything else."""
    count: int = await conn.fetchval(_COUNT_OTHERS, *key)
    return count


async def list_limits(conn: Connection, *, timeout_s: float | None = None) -> list[LimitStatus]:
    """Every limit, by channel."""
    rows = await conn.fetch(_LIST, timeout=timeout_s)
    return [LimitStatus(**row) for row in rows]
