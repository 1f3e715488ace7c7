"""How far the comparison with Stripe is, and what it has found. The caller owns the transaction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from postroom.base.db import Connection, Record, fetch_one, query

WATCHED_MIN_S: Final = 7 * 86_400.0
"""A week has a night and a weekend: before that, nobody knows what is usual."""
SILENCE_MIN_S: Final = 3_600.0
SILENCE_FACTOR: Final = 2.0
LOOK_FOLLOWS_S: Final = 3_600.0
GAP_HALF_LIFE_S: Final = 14 * 86_400.0

_BEGIN = query(__package__, "begin_reconcile")
_MOVE = query(__package__, "move_reconcile")
_ADD_MISSED = query(__package__, "add_missed")
_NOTE_ENDPOINT = query(__package__, "note_endpoint")
_FIND_LAST_LOOK = query(__package__, "find_last_look")
_NOTE_LAST_EVENTS = query(__package__, "note_last_events")
_FORGET = query(__package__, "forget_reconcile")
_LIST = query(__package__, "list_reconcile")


class EndpointStatus(StrEnum):
    """What Stripe's own list says of the endpoints that lead here; `unknown` where nobody could tell."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Drift:
    """One account. Ages are in seconds; `behind_s` is None without an API key.

    `missed`: events that no webhook brought, ever; `missed_ago_s`: when the last of them was found.
    """

    account: str
    live: bool
    began_at: datetime
    cursor_at: datetime | None
    run_at: datetime | None
    missed: int
    missed_at: datetime | None
    endpoint: EndpointStatus
    endpoint_reason: str | None
    last_event_at: datetime | None
    usual_gap_s: float
    behind_s: float | None
    missed_ago_s: float | None
    silent_s: float | None
    watched_s: float

    @property
    def silence_ratio(self) -> float:
        """How long it has been silent, in parts of what is still usual; 0 where that is not known yet."""
        if self.silent_s is None or self.watched_s < WATCHED_MIN_S:
            return 0.0
        return self.silent_s / max(SILENCE_MIN_S, SILENCE_FACTOR * self.usual_gap_s)


async def begin(conn: Connection, *, account: str, live: bool, keyed: bool, at: datetime) -> Record:
    """Its row, made where there is none. Returns: `began_at` and `cursor_at`, which is None without a key."""
    return await fetch_one(conn, _BEGIN, account, live, at if keyed else None, at)


async def move(
    conn: Connection, *, account: str, live: bool, seen: datetime, to: datetime
) -> datetime | None:
    """Never backwards. While a tenant is on its way from here it stays: what this run has left to another
    ledger, nobody may have taken.

    Returns: the cursor; None where it is not what was `seen` any more, because a tenant has moved meanwhile,
    or the account is of another mode.
    """
    cursor: datetime | None = await conn.fetchval(_MOVE, account, live, seen, to)
    return cursor


async def add_missed(conn: Connection, *, account: str, count: int) -> None:
    await conn.execute(_ADD_MISSED, account, count)


async def note_endpoint(
    conn: Connection, *, account: str, status: EndpointStatus, reason: str | None
) -> None:
    await conn.execute(_NOTE_ENDPOINT, account, status, reason)


async def note_last_events(conn: Connection) -> None:
    """Of all accounts at once. It reads what came in since the last look, of one hour at most."""
    since = await conn.fetchval(_FIND_LAST_LOOK, LOOK_FOLLOWS_S)
    if since is not None:
        await conn.execute(_NOTE_LAST_EVENTS, LOOK_FOLLOWS_S, GAP_HALF_LIFE_S, since)


async def forget_others(conn: Connection, accounts: Collection[str]) -> None:
    await conn.execute(_FORGET, list(accounts))


async def list_drift(conn: Connection, *, timeout_s: float | None = None) -> list[Drift]:
    """Every account, that without a name first."""
    rows = await conn.fetch(_LIST, timeout=timeout_s)
    return [Drift(**{**row, "endpoint": EndpointStatus(row["endpoint"])}) for row in rows]
