"""A replay of many that can be watched, paused and taken back while it runs.

It needs no worker of its own: the letters become deliveries that are due one after the other, at the
pace that was asked for. Pausing puts those that nobody has tried yet back among the dead letters.
A recovery (`recovery.py`) is one, too, that a job carries on.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from postroom.base import json
from postroom.base.db import Connection, Record, plan_for_values, query
from postroom.base.errors import Conflict, NotFound
from postroom.outbox import store
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import REPLAYED_MAX, Replayed, replay_dead_letters
from postroom.outbox.model import Channel
from postroom.outbox.reach import Reach

KEPT_DAYS: Final = 30
PRUNED_MAX: Final = 2

_RELEASE = query(__package__, "release_replay_items")
_RETURN = query(__package__, "return_replay_items")
_RETURN_HELD = query(__package__, "return_held_items")
_MARK = query(__package__, "mark_replay_run")
_FETCH = query(__package__, "fetch_replay_run")
_LIST = query(__package__, "list_replay_runs")
_PRUNE = query(__package__, "prune_replay_runs")


class RunState(StrEnum):
    """What a person wants of it. Whether it is over is told by its counts."""

    RUNNING = "running"
    PAUSED = "paused"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class ReplayRun:
    id: UUID
    actor: str
    wanted: dict[str, Any]
    pace_per_s: float
    state: RunState
    items: int
    created_at: datetime
    changed_at: datetime

    @property
    def reach(self) -> Reach:
        """Whose letters it may have taken, on which channels, as far as what was asked for tells."""
        asked = self.wanted
        tenants = [asked["tenant"]] if asked.get("tenant") else asked.get("tenants")
        return Reach.of(tenants, [Channel.WEBHOOK] if "endpoint" in asked else asked.get("channels"))


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the letters of a run are now; together they are its `items`.

    `held`: paused, dead as before. `returned`: taken back. `waiting`: not tried yet. `retrying`: tried,
    and tried again. `dead`: tried, and dead again. `done`: delivered or cancelled.
    `walking`: it looks for more.
    """

    run: ReplayRun
    held: int
    returned: int
    waiting: int
    retrying: int
    dead: int
    done: int
    left_s: float | None
    walking: bool

    @property
    def over(self) -> bool:
        return not self.walking and self.held == 0 and self.waiting == 0 and self.retrying == 0


async def start_run(
    conn: Connection,
    wanted: DeadLetterFilter,
    *,
    actor: str,
    pace_per_s: float = 0.0,
    limit: int = REPLAYED_MAX,
    fresh: bool = False,
) -> Replayed:
    """Replay the oldest that match, at most `limit`, so many a second; 0 makes all due at once. `fresh` as in
    `replay_dead_letters`.

    When nothing matches (any more), there is no run.
    Transaction: the caller's; a letter that another replay is taking is left to it.
    """
    await conn.execute(_PRUNE, KEPT_DAYS, PRUNED_MAX)
    return await replay_dead_letters(
        conn,
        wanted,
        actor=actor,
        limit=limit,
        pace_per_s=pace_per_s,
        run_wanted=json.encode(wanted.described()),
        fresh=fresh,
    )


async def pause_run(conn: Connection, run_id: UUID, *, actor: str) -> int:
    """Put what nobody has tried yet back, until it is resumed. Returns: how many.

    Errors: `NotFound`, `Conflict` when it is not running.
    """
    await plan_for_values(conn)
    await _mark(conn, run_id, RunState.PAUSED, RunState.RUNNING)
    count: int = await conn.fetchval(_RETURN, run_id, "held", actor)
    return count


async def resume_run(conn: Connection, run_id: UUID, *, actor: str) -> int:
    """Go on with what was put back, at the same pace. Returns: how many.

    Letters that somebody else has replayed meanwhile are left alone.
    Errors: `NotFound`, `Conflict` when it is not paused.
    """
    await plan_for_values(conn)
    await _mark(conn, run_id, RunState.RUNNING, RunState.PAUSED)
    rows = await conn.fetch(_RELEASE, run_id, actor)
    for row in rows:
        await store.wake(conn, row["channel"])
    await conn.execute(_RETURN_HELD, run_id)
    return sum(row["count"] for row in rows)


async def undo_run(conn: Connection, run_id: UUID, *, actor: str) -> int:
    """Put what nobody has tried yet back for good. What was sent stays sent. Returns: how many.

    Errors: `NotFound`, `Conflict` when it was undone before.
    """
    await plan_for_values(conn)
    await _mark(conn, run_id, RunState.UNDONE, RunState.RUNNING, RunState.PAUSED)
    await conn.execute(_RETURN_HELD, run_id)
    count: int = await conn.fetchval(_RETURN, run_id, "returned", actor)
    return count


async def fetch_run(conn: Connection, run_id: UUID) -> Progress:
    """Errors: `NotFound`."""
    row = await conn.fetchrow(_FETCH, run_id)
    if row is None:
        raise NotFound("there is no replay with this id, or it was forgotten after 30 days")
    run_fields = {field.name for field in dataclasses.fields(ReplayRun)}
    counts = {name: value for name, value in row.items() if name not in run_fields}
    return Progress(run=_run(row), **counts)


async def list_runs(conn: Connection, *, limit: int = 5) -> list[ReplayRun]:
    """Newest first."""
    return [_run(row) for row in await conn.fetch(_LIST, limit)]


async def _mark(conn: Connection, run_id: UUID, state: RunState, *from_states: RunState) -> None:
    if await conn.fetchval(_MARK, run_id, state, list(from_states)) is None:
        found = await fetch_run(conn, run_id)
        raise Conflict(f"the replay is {found.run.state}")


def _run(row: Record) -> ReplayRun:
    names = [field.name for field in dataclasses.fields(ReplayRun)]
    values = {name: row[name] for name in names}
    return ReplayRun(**{**values, "wanted": json.decode(row["wanted"]), "state": RunState(row["state"])})
