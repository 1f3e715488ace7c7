"""Replaying as an operator does it: one message, or a run of many that can be paused and taken back."""

from __future__ import annotations

import dataclasses
from uuid import UUID

from postroom.admin.audit import Actor, record
from postroom.base.db import Connection
from postroom.base.errors import InvalidInput
from postroom.outbox.ledger import replay, replay_runs
from postroom.outbox.ledger import resend as resending
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import Replayed
from postroom.outbox.model import OUTBOUND


def replayable(wanted: DeadLetterFilter) -> DeadLetterFilter:
    """What may be replayed at once: something is asked for, and Stripe's only when something names them.

    Errors: `InvalidInput` when nothing is asked for.
    """
    if wanted == DeadLetterFilter():
        raise InvalidInput("choose letters, a fault, or at least one filter: everything at once is too much")
    if wanted.channels or wanted.fingerprint or wanted.message_ids:
        return wanted
    return dataclasses.replace(wanted, channels=OUTBOUND)


async def replay_one(conn: Connection, message_id: UUID, *, fresh: bool = False, actor: Actor) -> int:
    """Replay every dead letter of one message. Returns: how many. Errors: `NotFound`, `Conflict`.

    `fresh`, here and below: a mail is rendered from its template as it is now, not as it was first.
    """
    count = await replay.replay_one(conn, message_id, actor=actor.name, fresh=fresh)
    await record(conn, actor, "outbox.replay", message_id, replayed=count, **_if_fresh(fresh))
    return count


async def resend(
    conn: Connection, message_id: UUID, *, endpoint_id: UUID | None = None, fresh: bool = False, actor: Actor
) -> int:
    """Send again what was delivered, to all or one endpoint. Returns: how many.

    Errors: `NotFound`, `Conflict`.
    """
    count = await resending.resend(conn, message_id, endpoint_id=endpoint_id, actor=actor.name, fresh=fresh)
    detail = {"endpoint": str(endpoint_id)} if endpoint_id else {}
    await record(conn, actor, "outbox.resend", message_id, resent=count, **detail, **_if_fresh(fresh))
    return count


async def replay_many(
    conn: Connection,
    wanted: DeadLetterFilter,
    *,
    limit: int = replay.REPLAYED_MAX,
    pace_per_s: float = 0.0,
    fresh: bool = False,
    actor: Actor,
) -> Replayed:
    """Start a run over the oldest that match, at most `limit`; nothing is written when nothing matches.

    Of what the actor does not reach, nothing matches.
    """
    wanted = wanted.within(actor.reach)
    started = await replay_runs.start_run(
        conn, wanted, actor=actor.name, limit=limit, pace_per_s=pace_per_s, fresh=fresh
    )
    if started.run_id is not None:
        detail = {"replayed": started.count, "pace_per_s": pace_per_s, "filter": wanted.described()}
        await record(conn, actor, "outbox.replay_many", started.run_id, **detail, **_if_fresh(fresh))
    return started


async def pause(conn: Connection, run_id: UUID, *, actor: Actor) -> int:
    """Put what nobody has tried yet back, until it is resumed. Returns: how many."""
    count = await replay_runs.pause_run(conn, run_id, actor=actor.name)
    await record(conn, actor, "replay.pause", run_id, held=count)
    return count


async def resume(conn: Connection, run_id: UUID, *, actor: Actor) -> int:
    """Go on with what was put back, at the same pace. Returns: how many."""
    count = await replay_runs.resume_run(conn, run_id, actor=actor.name)
    await record(conn, actor, "replay.resume", run_id, released=count)
    return count


async def undo(conn: Connection, run_id: UUID, *, actor: Actor) -> int:
    """Put what nobody has tried yet back for good; what was sent stays sent. Returns: how many."""
    count = await replay_runs.undo_run(conn, run_id, actor=actor.name)
    await record(conn, actor, "replay.undo", run_id, returned=count)
    return count


def _if_fresh(fresh: bool) -> dict[str, bool]:
    return {"fresh": True} if fresh else {}
