"""Breakers in the database: the one truth that all processes share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from postroom.base.db import Connection, query
from postroom.resilience.breaker import BreakerPolicy, CircuitState

_OPEN = query(__package__, "open_circuit")
_PROBE = query(__package__, "probe_circuit")
_CLOSE = query(__package__, "close_circuit")
_FORCE = query(__package__, "force_circuit")
_LIST = query(__package__, "list_circuits")
_COUNT_OPENING = query(__package__, "count_opening")
_PRUNE = query(__package__, "prune_circuits")


@dataclass(frozen=True, slots=True)
class Circuit:
    """One breaker as the database has it. `retry_in_s`: seconds until a trial is allowed."""

    name: str
    state: CircuitState
    forced: bool
    reason: str | None
    openings: int
    opened_at: datetime | None
    retry_at: datetime | None
    changed_at: datetime
    retry_in_s: float | None


async def list_circuits(conn: Connection) -> list[Circuit]:
    """All that are not closed, and always `stripe` and `email`."""
    return [Circuit(**{**row, "state": CircuitState(row["state"])}) for row in await conn.fetch(_LIST)]


async def mark_open(conn: Connection, *, name: str, reason: str, policy: BreakerPolicy, worker: int) -> bool:
    """Open and count the opening in the caller's transaction. Returns: whether this call opened it."""
    opened = await conn.fetchval(_OPEN, name, reason[:500], policy.open_s, policy.open_max_s, worker)
    if opened is None:
        return False
    label = name if name in ("stripe", "email") else "destination"
    await conn.execute(_COUNT_OPENING, label, worker % 16)
    return True


async def claim_probe(conn: Connection, *, name: str, worker: int, probe_s: float) -> bool:
    """Take the one trial of a breaker whose time has come. Returns: whether it is this worker's."""
    return await conn.fetchval(_PROBE, name, worker, probe_s) is not None


async def mark_closed(conn: Connection, *, name: str, worker: int) -> bool:
    """Close after a trial of this worker went well."""
    return await conn.fetchval(_CLOSE, name, worker) is not None


async def mark_forced(
    conn: Connection, *, name: str, state: CircuitState | None, reason: str
) -> dict[str, Any] | None:
    """Hold open or closed; None lets it go, closed. Returns: how it was, if it was known."""
    old = await conn.fetchrow(_FORCE, name, state, reason)
    return None if old is None else dict(old)


async def prune_circuits(conn: Connection) -> None:
    await conn.execute(_PRUNE)
