"""Recovery of an endpoint: a replay run that walks over what it should have had, a little at a time.

What it never had becomes a dead letter first, as what is sent again does, and the one replay revives it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from postroom.base import json
from postroom.base.db import Connection, Pool, Record, fetch_one, query, transaction
from postroom.base.errors import InvalidInput
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import fetch_dry_run, replay_dead_letters
from postroom.outbox.model import Channel
from postroom.worker.model import Job, JobContext

_MISSING = query(__package__, "recovery_missing")
FIND = _MISSING + query(__package__, "find_missing")
_BURY = query(__package__, "bury_missing")
COUNT = _MISSING + query(__package__, "count_missing")
_SPAN = query(__package__, "fetch_recovery_span")
_INSERT = query(__package__, "insert_recovery")
_LIST = query(__package__, "list_recoveries")
_LOCK = query(__package__, "lock_recovery")
_FORGET_DONE = query(__package__, "forget_done_items")
_END = query(__package__, "end_recovery")

EVERY_S: Final = 2.0
PACE_DEFAULT: Final = 50.0
PACE_MAX: Final = 5_000.0
WAITING_MAX: Final = 1_000
"""While so many of a recovery wait, it takes no more: an endpoint that is down gathers no backlog."""
SCANNED_MAX: Final = 1_000
"""Messages that one transaction looks at."""
STEPS_MAX: Final = 10
LOOKED_AT_MAX: Final = 20_000
"""Messages that a dry run looks at."""
MISSING: Final = "missing"
"""The fingerprint of what is dead only to be replayed; it stays where that is taken back."""
REASON: Final = "it never went to this endpoint"


class Only(StrEnum):
    """`failed`: what died for the endpoint. `missing`: what never went to it."""

    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What died, and what was published, from `since` on until before `until`.

    `tenant`: whose the endpoint is, for whoever wants to know whose the run is.
    """

    endpoint_id: UUID
    since: datetime
    until: datetime | None = None
    only: Only | None = None
    tenant: str | None = None

    def described(self) -> dict[str, Any]:
        given = {"endpoint": str(self.endpoint_id), "since": self.since.isoformat(), "only": self.only}
        given["tenant"] = self.tenant
        given["until"] = self.until.isoformat() if self.until else None
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def read(cls, given: dict[str, Any]) -> Recovery:
        """As `described` of one with an end gives it."""
        since, until = (datetime.fromisoformat(given[name]) for name in ("since", "until"))
        only = given.get("only")
        return cls(UUID(given["endpoint"]), since, until, Only(only) if only else None)

    def letters(self) -> DeadLetterFilter:
        return DeadLetterFilter(
            channels=(Channel.WEBHOOK,),
            destination=str(self.endpoint_id),
            since=self.since,
            until=self.until,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What a recovery would send: `failed` and `missing`. `emptied`: missing too, but its payload is gone.

    `truncated`: it is the count of a part, there may be more.
    """

    failed: int = 0
    missing: int = 0
    emptied: int = 0
    truncated: bool = False

    def told(self) -> str:
        """For people."""
        gone = f" {self.emptied:,} more are missing whose payload is gone." if self.emptied else ""
        more = " There may be more." if self.truncated else ""
        return f"{self.failed:,} failed, {self.missing:,} missing.{gone}{more}"


@dataclass(frozen=True, slots=True)
class _Span:
    """What a recovery walks over: from one message on until before another."""

    wanted: Recovery
    first: UUID
    end: UUID


async def _span(conn: Connection, wanted: Recovery) -> _Span:
    """With an end that is not in the future.

    Errors: `InvalidInput` for an empty span, and where the log of attempts does not tell any more whether the
    endpoint has what was published then.
    """
    row = await fetch_one(conn, _SPAN, wanted.endpoint_id, wanted.since, wanted.until)
    if wanted.since >= row["until"]:
        raise InvalidInput("since must be before until, and in the past", field="since")
    if wanted.only is Only.FAILED:
        return _Span(replace(wanted, until=row["until"]), row["end"], row["end"])
    if row["older"]:
        begin = row["begin"].isoformat()
        raise InvalidInput(
            f"the log of attempts begins at {begin}: what this endpoint had before is not known any more and "
            "would be sent twice; begin then or later, or recover only what failed",
            field="since",
        )
    return _Span(replace(wanted, until=row["until"]), row["first"], row["end"])


async def look(conn: Connection, wanted: Recovery) -> Found:
    """What there is to recover, among 100,000 letters and 20,000 messages; touches nothing.

    Errors: `InvalidInput`. Transaction: the caller's.
    """
    span = await _span(conn, wanted)
    found = Found()
    if wanted.only is not Only.MISSING:
        dry = await fetch_dry_run(conn, span.wanted.letters())
        found = Found(failed=dry.letters, truncated=dry.truncated)
    row = await fetch_one(conn, COUNT, wanted.endpoint_id, span.first, span.end, LOOKED_AT_MAX)
    cut = found.truncated or row["scanned"] >= LOOKED_AT_MAX
    return replace(found, missing=row["missing"], emptied=row["emptied"], truncated=cut)


async def start_recovery(conn: Connection, wanted: Recovery, *, actor: str, pace_per_s: float) -> UUID:
    """Begin a run that the job `recovery` carries on, so many deliveries a second. Returns: its id.

    It is shown, paused, resumed and taken back as every replay is; what is taken back is a dead letter.
    Promise: what the endpoint has, or has waiting, is not sent, however often this is asked for.
    Does not promise: order. What has an ordering key goes behind what waits under that key, and after what
    of it has been delivered.
    Errors: `InvalidInput`. Transaction: the caller's.
    """
    if not 0 < pace_per_s <= PACE_MAX:
        raise InvalidInput(f"pace must be above 0 and at most {PACE_MAX:,.0f} a second", field="pace_per_s")
    span = await _span(conn, wanted)
    asked = json.encode(span.wanted.described())
    run_id: UUID = await conn.fetchval(
        _INSERT, actor, asked, pace_per_s, wanted.endpoint_id, span.first, span.end
    )
    return run_id


def recovery_job(*, pool: Pool) -> Job:
    """Carries every recovery on, by what its pace allows until the next time."""

    async def run(context: JobContext) -> int:
        async with transaction(pool) as conn:
            run_ids = [row["id"] for row in await conn.fetch(_LIST, WAITING_MAX)]
        total = 0
        for run_id in run_ids:
            sent, more = 0, True
            for _ in range(STEPS_MAX):
                if more and not context.stop.is_set():
                    async with transaction(pool) as conn:
                        count, more = await carry_on(conn, run_id, sent=sent)
                    sent += count
            total += sent
        return total

    return Job(name="recovery", run=run, every_s=EVERY_S)


async def carry_on(conn: Connection, run_id: UUID, *, sent: int = 0) -> tuple[int, bool]:
    """One step of a recovery, after `sent` in this round: what failed first, then what is missing.

    Returns: how many more are sent, and whether to go on at once.
    Transaction: the caller's; the place where the next step begins is kept in it.
    """
    run = await conn.fetchrow(_LOCK, run_id)
    left = math.ceil(run["pace_per_s"] * EVERY_S) - sent if run else 0
    if run is None or left <= 0:
        return 0, False
    wanted = Recovery.read(json.decode(run["wanted"]))
    await conn.execute(_FORGET_DONE, run_id, 2 * SCANNED_MAX)
    count = 0
    if wanted.only is not Only.MISSING:
        count = await _replay(conn, run, wanted.letters(), limit=left, before=sent)
    if count >= left:
        return count, False
    if run["next_id"] == run["until_id"]:
        await conn.execute(_END, run_id)
        return count, False
    ids = await _bury_missing(conn, run, wanted.endpoint_id, limit=left - count)
    if ids:
        buried = DeadLetterFilter(fingerprint=MISSING, message_ids=tuple(ids))
        count += await _replay(conn, run, buried, limit=len(ids), before=sent + count)
    return count, True


async def _replay(
    conn: Connection, run: Record, letters: DeadLetterFilter, *, limit: int, before: int
) -> int:
    pace: float = run["pace_per_s"]
    replayed = await replay_dead_letters(
        conn,
        letters,
        actor=run["actor"],
        limit=limit,
        pace_per_s=pace,
        after_s=before / pace,
        run_id=run["id"],
    )
    return replayed.count


async def _bury_missing(conn: Connection, run: Record, endpoint_id: UUID, *, limit: int) -> list[UUID]:
    """One part of the walk. Returns: the messages that were missing, dead letters now."""
    walk = (endpoint_id, run["next_id"], run["until_id"], SCANNED_MAX, limit)
    missing = await fetch_one(conn, FIND, *walk)
    ids: list[UUID] = missing["message_ids"]
    await conn.execute(_BURY, endpoint_id, ids, MISSING, REASON, run["id"], missing["next_id"])
    return ids
