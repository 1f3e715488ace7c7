"""The ledger's rows: claiming, settling, cancelling, waking. The caller owns the transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import TypeVar
from uuid import UUID

import msgspec

from postroom.base.db import Connection, Record, fetch_one, query
from postroom.outbox.cursor import START, Cursor, Position
from postroom.outbox.lanes import FIRST_STATES, LANES, NORMAL, RETRY_STATES, Lane, Urgency
from postroom.outbox.limits import Room
from postroom.outbox.model import Claim, Waiting
from postroom.outbox.policy import Settlement, Verdict, fingerprint

_CLAIM_LOCKED = query(__package__, "claim_locked")
_CLAIM_DUE = query(__package__, "claim_due") + _CLAIM_LOCKED
_CLAIM_AROUND = query(__package__, "claim_around") + _CLAIM_LOCKED
_CLAIM_BEHIND = query(__package__, "claim_behind") + _CLAIM_LOCKED
_SCAN_END = query(__package__, "scan_end")
_MOMENT_AGO = query(__package__, "moment_ago")
_COUNT_DUE = query(__package__, "count_due")
_PUT_OFF = query(__package__, "put_off")
_LIST_LARGE = query(__package__, "list_large_payloads")
_RELEASE = query(__package__, "release_claims")
_LOCK_BEHIND = query(__package__, "lock_behind")
_SET_ASIDE = query(__package__, "set_aside")
_HAND_BACK = query(__package__, "hand_back")
_HAND_BACK_NAMED = query(__package__, "hand_back_named")
_LIST_MISSING_WORKERS = query(__package__, "list_missing_workers")
_NOTE_STRAY_CLAIMS = query(__package__, "note_stray_claims")
_HELD_BY_DEAD = query(__package__, "held_by_dead")
_CLAIM_ABANDONED = _HELD_BY_DEAD + query(__package__, "claim_abandoned")
_FREE_ABANDONED = _HELD_BY_DEAD + query(__package__, "free_abandoned")
_FORGET_CLAIMS = query(__package__, "forget_claims")
_MARK_STARTED = query(__package__, "mark_started")
_TAKE_EXPIRING = query(__package__, "take_expiring")
_CLAIM_EXPIRED = query(__package__, "claim_expired")
_CLAIM_EXPIRING = query(__package__, "claim_expiring") + _CLAIM_EXPIRED
_CLAIM_AGED = query(__package__, "claim_aged") + _CLAIM_EXPIRED
_AGED_SCAN_END = query(__package__, "aged_scan_end")
_SETTLE = query(__package__, "settle")
_SETTLE_DELIVERED = query(__package__, "settle_delivered")
_SETTLE_UNCLAIMED = query(__package__, "settle_unclaimed")
_LOG_LOST_CLAIMS = query(__package__, "log_lost_claims")
_NEXT_DUE = query(__package__, "next_due")
_LIST_BUSY_LANES = query(__package__, "list_busy_lanes")
_ADD_TALLY = query(__package__, "add_tally")
_CANCEL = query(__package__, "cancel_message")
_ASK_TO_CANCEL = query(__package__, "ask_to_cancel")
_DUE_NOW = query(__package__, "mark_due_now")
_WAKE = query(__package__, "wake")

TALLY_SHARDS = 16
_IN_ORDER = attrgetter("due_s", "seq")
_ALL_STATES = sorted(FIRST_STATES | RETRY_STATES)

Ended = tuple[Claim, Settlement, int]
Value = TypeVar("Value")
OrderedBy = tuple[str, str]
"""An ordering key and a destination: what has both alike is delivered one after the other."""


async def claim_due(
    conn: Connection,
    *,
    channel: str,
    worker: int,
    first_max: int,
    retry_max: int,
    cursor: Cursor = START,
    lane: Lane = NORMAL,
) -> list[Claim]:
    """Lease due deliveries of a channel's lane for this worker, oldest first, from `cursor` on.

    Returns: at most `first_max` first attempts and `retry_max` retries, and of large payloads about 8 MB
    as they are stored; empty when nothing is due.
    """
    rows = await conn.fetch(
        _CLAIM_DUE, channel, worker, first_max, retry_max, *cursor.first, *cursor.retry, *lane
    )
    return await _bounded(conn, rows)


async def claim_around(
    conn: Connection,
    *,
    channel: str,
    worker: int,
    first_max: int,
    retry_max: int,
    cursor: Cursor,
    full: Sequence[str],
    scan_max: int,
    lane: Lane = NORMAL,
    tenants: Sequence[str] = (),
    limited: Sequence[Room] = (),
) -> list[Claim]:
    """Like `claim_due`, but passes by the destinations `full` and by `tenants`, reading `scan_max` a kind,
    and takes of what is `limited` only so many.

    What older code queued has no tenant, and is not passed by.
    """
    rows = await conn.fetch(
        _CLAIM_AROUND,
        *(channel, worker, first_max, retry_max),
        *(*cursor.first, *cursor.retry),
        *(full, scan_max),
        *lane,
        tenants,
        *([each[column] for each in limited] for column in range(3)),
    )
    return await _bounded(conn, rows)


async def claim_behind(
    conn: Connection, *, channel: str, worker: int, ended: Sequence[OrderedBy]
) -> list[Claim]:
    """Lease the next delivery of each ordering key, if it is due and nobody has it."""
    keys, destinations = [key for key, _ in ended], [destination for _, destination in ended]
    return await _bounded(conn, await conn.fetch(_CLAIM_BEHIND, channel, worker, keys, destinations))


async def _bounded(conn: Connection, rows: Sequence[Record]) -> list[Claim]:
    """The claims in the order in which they became due, with large payloads as far as one claim may hold
    them. From the first one on that no longer fits all are handed back, so that the order stays.
    """
    claims = [Claim(*row) for row in rows]
    claims.sort(key=_IN_ORDER)
    large = [claim.message_id for claim in claims if not claim.payload]
    if not large:
        return claims
    payloads = {row["id"]: row["payload"] for row in await conn.fetch(_LIST_LARGE, large)}
    for place, claim in enumerate(claims):
        if not claim.payload:
            if claim.message_id not in payloads:
                break
            claims[place] = msgspec.structs.replace(claim, payload=payloads[claim.message_id])
    else:
        return claims
    claims, rest = claims[:place], claims[place:]
    await conn.execute(
        _RELEASE,
        rest[0].worker,
        *([getattr(c, name) for c in rest] for name in ("message_id", "n", "claim_no")),
    )
    return claims


async def lock_behind(
    conn: Connection, *, channel: str, state: str, behind: Position, most: int
) -> list[Waiting]:
    """Lock what nobody has claimed and follows this position in a lane, for an adapter that takes more of a
    backlog than was claimed for it. Left out is what has an order, a limit or an age to be kept.

    Transaction: the adapter's own; until it ends nobody claims or cancels them.
    """
    rows = await conn.fetch(_LOCK_BEHIND, channel, state, *behind, most)
    return [Waiting(*row) for row in rows]


async def set_aside(
    conn: Connection, claims: Sequence[tuple[Claim | Waiting, float]], *, reason: str
) -> None:
    """Let go of claims, or put off what is locked, each due again after so many seconds, for an adapter that
    has noted their order: what follows them in their ordering key may go. Those that were lost to another
    worker are left alone.

    Transaction: the adapter's own; it answers `Settled`.
    """
    held = [claim for claim, _ in claims]
    fields = ("message_id", "n", "worker", "claim_no")
    columns = [[getattr(claim, name) for claim in held] for name in fields]
    await conn.execute(_SET_ASIDE, *columns, [delay_s for _, delay_s in claims], reason)


async def fetch_scan_end(
    conn: Connection, *, channel: str, cursor: Cursor, scan_max: int, lane: Lane = NORMAL
) -> tuple[Cursor, bool]:
    """Returns: where a scan of `scan_max` of each kind ends, and whether there may be more behind it."""
    row = await fetch_one(conn, _SCAN_END, channel, *cursor.first, *cursor.retry, scan_max, *lane)
    end = Cursor((row["first_due_s"], row["first_seq"]), (row["retry_due_s"], row["retry_seq"]))
    return end, row["seen"] >= scan_max


async def fetch_moment_ago(conn: Connection, seconds: float) -> float:
    """By the database's clock, in seconds since the epoch, for a position in what is due."""
    moment: float = await conn.fetchval(_MOMENT_AGO, seconds)
    return moment


async def count_due(conn: Connection, *, channel: str, most: int, lane: Lane = NORMAL) -> int:
    """How many deliveries are due and not claimed, counted up to `most`."""
    count: int = await conn.fetchval(_COUNT_DUE, channel, most, *lane)
    return count


async def put_off(
    conn: Connection,
    *,
    channel: str,
    delays_s: Mapping[str, float],
    scan_max: int,
    lane: Lane = NORMAL,
) -> int:
    """Make what is due to some destinations due later, among the oldest `scan_max` of each state.

    Returns: how many.
    """
    status = await conn.execute(_PUT_OFF, channel, list(delays_s), list(delays_s.values()), scan_max, *lane)
    return int(status.split()[-1])


async def claim_abandoned(
    conn: Connection, *, dead_workers: Sequence[int], worker: int, batch_max: int
) -> list[Claim]:
    """Take over what dead workers hold and had surely started; the payloads are left out."""
    return [Claim(*row) for row in await conn.fetch(_CLAIM_ABANDONED, dead_workers, worker, batch_max)]


async def free_abandoned(
    conn: Connection, *, dead_workers: Sequence[int], worker: int, batch_max: int, reason: str
) -> int:
    """Free what dead workers hold and may not have started; it spends no attempt and is watched from now on.

    Returns: how many.
    """
    shard = worker % TALLY_SHARDS
    count: int = await conn.fetchval(_FREE_ABANDONED, dead_workers, batch_max, shard, reason)
    return count


async def mark_started(conn: Connection, claims: Sequence[Claim]) -> set[tuple[UUID, int]]:
    """Write down that these are about to be tried. Returns: (message id, n) of what is still held."""
    rows = await conn.fetch(
        _MARK_STARTED,
        [c.message_id for c in claims],
        [c.n for c in claims],
        [c.worker for c in claims],
        [c.claim_no for c in claims],
    )
    return {(row[0], row[1]) for row in rows}


async def forget_claims(conn: Connection, batch_ids: Sequence[int]) -> None:
    """Forget claims of which everything has ended."""
    await conn.execute(_FORGET_CLAIMS, batch_ids)


async def hand_back(
    conn: Connection, *, channel: str, worker: int, before: datetime | None
) -> tuple[int, datetime]:
    """Free what a worker holds on a channel, or of it only what it claimed before a moment.

    Returns: how many, and the moment of this transaction.
    """
    row = await fetch_one(conn, _HAND_BACK, channel, worker, before)
    return row["count"], row["at"]


async def hand_back_named(conn: Connection, claims: Sequence[Claim], *, later_s: float) -> None:
    """Free claims of one worker that a limit has no room for, under its name (`limit_name`), so that others
    pass them by; those with an ordering key are due `later_s` later instead.
    """
    fields = ("message_id", "n", "claim_no", "limit_name")
    columns = [[getattr(claim, name) for claim in claims] for name in fields]
    await conn.execute(_HAND_BACK_NAMED, claims[0].worker, *columns, later_s)


async def list_missing_workers(conn: Connection) -> list[int]:
    """Who may hold deliveries and is no worker any more."""
    return [row["worker"] for row in await conn.fetch(_LIST_MISSING_WORKERS)]


async def note_stray_claims(conn: Connection, *, first_block: int, blocks_max: int, ttl_s: float) -> int:
    """Note claims of which nobody else did (runners of before), so that they are rescued.

    Returns: the block where the next look begins.
    """
    block: int = await conn.fetchval(_NOTE_STRAY_CLAIMS, first_block, blocks_max, ttl_s)
    return block


async def take_expiring(conn: Connection, *, batch_max: int) -> list[UUID]:
    """Messages whose own time is over, and forget that; most have ended long ago."""
    return [row["message_id"] for row in await conn.fetch(_TAKE_EXPIRING, batch_max)]


async def claim_expiring(conn: Connection, *, worker: int, message_ids: Sequence[UUID]) -> list[Claim]:
    """Take over what is past its own time of some messages; the payloads are left out."""
    if not message_ids:
        return []
    return [Claim(*row) for row in await conn.fetch(_CLAIM_EXPIRING, worker, message_ids)]


async def fetch_aged_scan_end(conn: Connection, *, age_s: float, after: UUID, scan_max: int) -> UUID | None:
    """Where a scan of `scan_max` deliveries older than `age_s` ends. Returns: None where there are none."""
    end: UUID | None = await conn.fetchval(_AGED_SCAN_END, age_s, after, scan_max)
    return end


async def claim_aged(
    conn: Connection, *, worker: int, ages_s: Mapping[str, float], parked_s: float, after: UUID, upto: UUID
) -> list[Claim]:
    """Take over what is older than its channel allows, among messages from `after` to `upto`."""
    limits = (list(ages_s), list(ages_s.values()), parked_s)
    return [Claim(*row) for row in await conn.fetch(_CLAIM_AGED, worker, *limits, after, upto)]


async def settle_claims(conn: Connection, ended: Sequence[Ended]) -> set[tuple[UUID, int]]:
    """Write the next state of each claim, its attempt row and the counters.

    `ended`: claims of one channel, each with its settlement and its duration in ms.
    Returns: (message id, n) of those that were lost: no longer held under their claim, and left alone.
    """
    if not ended:
        return set()
    worker = ended[0][0].worker
    if all(each.verdict is Verdict.DELIVERED and claim.worker == worker for claim, each, _ in ended):
        rows = await conn.fetch(_SETTLE_DELIVERED, *_delivered_columns(ended))
    else:
        rows = await conn.fetch(_SETTLE, *_columns(ended))
    return {(row[0], row[1]) for row in rows}


def _delivered_columns(ended: Sequence[Ended]) -> tuple[object, ...]:
    claims = [claim for claim, _, _ in ended]
    return (
        [c.message_id for c in claims],
        [c.n for c in claims],
        claims[0].worker,
        [c.claim_no for c in claims],
        _unless_empty([settlement.code for _, settlement, _ in ended]),
        _unless_empty([settlement.detail for _, settlement, _ in ended]),
        [duration_ms for _, _, duration_ms in ended],
        claims[0].channel,
        claims[0].worker % TALLY_SHARDS,
        _unless_empty([settlement.content_hash for _, settlement, _ in ended]),
    )


async def settle_unclaimed(
    conn: Connection, *, message_ids: Sequence[UUID], channel: str, worker: int, detail: str, duration_ms: int
) -> int:
    """Settle as delivered what an adapter delivered together with what was claimed, and nobody has claimed.

    Returns: how many; the others are somebody's claims, who settle them.
    """
    shard = message_ids[0].int % TALLY_SHARDS  # several at once of one worker
    count: int = await conn.fetchval(
        _SETTLE_UNCLAIMED, message_ids, channel, worker, detail, duration_ms, shard
    )
    return count


async def log_lost_claims(conn: Connection, ended: Sequence[Ended]) -> None:
    """Note attempts of one channel that were made and whose claims are gone."""
    claims = [claim for claim, _, _ in ended]
    await conn.execute(
        _LOG_LOST_CLAIMS,
        [c.message_id for c in claims],
        [c.n for c in claims],
        [c.attempts + 1 for c in claims],
        [c.worker for c in claims],
        [settlement.code for _, settlement, _ in ended],
        [settlement.outcome for _, settlement, _ in ended],
        [duration_ms for _, _, duration_ms in ended],
        claims[0].channel,
        [c.destination for c in claims],
        [c.endpoint_id for c in claims],
    )


def _unless_empty(column: list[Value | None]) -> list[Value | None] | None:
    return column if any(column) else None


def _columns(ended: Sequence[Ended]) -> tuple[object, ...]:
    claims = [claim for claim, _, _ in ended]
    settlements = [settlement for _, settlement, _ in ended]
    return (
        [c.message_id for c in claims],
        [c.n for c in claims],
        [c.worker for c in claims],
        [c.claim_no for c in claims],
        [s.verdict for s in settlements],
        [s.outcome for s in settlements],
        [s.delay_s for s in settlements],
        [s.code for s in settlements],
        [s.reason for s in settlements],
        [s.detail for s in settlements],
        [s.cause for s in settlements],
        [_fingerprint(c, s) for c, s in zip(claims, settlements, strict=True)],
        [duration_ms for _, _, duration_ms in ended],
        claims[0].worker % TALLY_SHARDS,
        _unless_empty([s.content_hash for s in settlements]),
    )


def _fingerprint(claim: Claim, settlement: Settlement) -> str | None:
    if settlement.cause is None:
        return None
    return fingerprint(claim.channel, settlement.code, settlement.reason or "")


async def fetch_next_due_s(conn: Connection, *, channel: str) -> float | None:
    """Seconds until something of this channel is due; negative when it is late; None when nothing waits."""
    seconds: float | None = await conn.fetchval(_NEXT_DUE, channel, _ALL_STATES)
    return seconds


async def list_busy_lanes(conn: Connection, *, channel: str, urgencies: Sequence[Urgency]) -> set[Urgency]:
    """Those of some urgencies of which something is due and nobody has it."""
    owners = {state: urgency for urgency in urgencies for state in LANES[urgency]}
    return {owners[row["state"]] for row in await conn.fetch(_LIST_BUSY_LANES, channel, list(owners))}


async def count_outcome(conn: Connection, *, name: str, label: str, worker: int, value: int = 1) -> None:
    """Add to a counter in the caller's transaction. `name` and `label` hold enumerations, never ids."""
    await conn.execute(_ADD_TALLY, name, label, worker % TALLY_SHARDS, value)


async def cancel_message(conn: Connection, *, message_id: UUID) -> int:
    """Cancel what has not been sent of one message. Returns: how many deliveries."""
    count: int = await conn.fetchval(_CANCEL, message_id, message_id.int % TALLY_SHARDS)
    return count


async def ask_to_cancel(conn: Connection, *, message_id: UUID, by: str) -> int:
    """Ask the runner of a task under way to cancel it. Returns: 1, or 0 where none is."""
    count: int = await conn.fetchval(_ASK_TO_CANCEL, message_id, by)
    return count


async def mark_due_now(conn: Connection, *, message_id: UUID) -> int:
    """Make due what waits of one message, parked deliveries excepted. Returns: how many deliveries."""
    channels = [row["channel"] for row in await conn.fetch(_DUE_NOW, message_id)]
    if channels:
        await wake(conn, channels[0])
    return len(channels)


async def wake(conn: Connection, channel: str) -> None:
    """Wake who sleeps on a channel, when the caller's transaction commits."""
    await conn.execute(_WAKE, channel)
