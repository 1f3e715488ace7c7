"""What an operator does to Stripe's events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from postroom.admin.audit import Actor, record
from postroom.base.db import Connection, Transactions
from postroom.base.errors import Conflict, Unavailable
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.channels.stripe import call_store, load_progress
from postroom.channels.stripe import reprocess as event
from postroom.channels.stripe.backfill import Backfill, Backfilled, Refused, Told, Waits
from postroom.channels.stripe.client import EventQuery
from postroom.channels.stripe.endpoint_plan import Plan, Wish
from postroom.channels.stripe.setup import Applied, EndpointSetup, Keep
from postroom.encryption.keyring import Keyring
from postroom.outbox.ledger import replay


async def reprocess(conn: Connection, message_id: UUID, *, keyring: Keyring, actor: Actor) -> UUID:
    """See `channels.stripe.reprocess`. Returns: the message under which the event now goes."""
    again = await event.reprocess(conn, message_id, keyring=keyring)
    await record(conn, actor, "stripe.reprocess", message_id, again=str(again))
    return again


async def looked_up(
    conn: Connection, message_id: UUID, *, done: bool, object_id: str | None = None, actor: Actor
) -> int:
    """A dead call to Stripe goes on as a person has found it there, and is replayed: where it is done already
    nothing is sent, else it is sent under a new idempotency key. Returns: how many were replayed.

    `object_id`: what it has made. Errors: `NotFound`, `Conflict` where it is not dead, or Stripe has told.
    """
    count = await replay.replay_one(conn, message_id, actor=actor.name)
    if not await call_store.decide_call(conn, message_id, done=done, object_id=object_id):
        raise Conflict(f"{message_id} is no call to Stripe whose end is unknown")
    detail = {"object_id": object_id} if object_id else {}
    await record(conn, actor, "stripe.looked_up", message_id, done=done, **detail)
    return count


async def backfill(
    missed: Backfill,
    query: EventQuery,
    *,
    effects_since: datetime | None = None,
    transactions: Transactions,
    wait_s: float,
    told: Told,
    waits: Waits,
    actor: Actor,
) -> Backfilled:
    """Take in what is missing, between two rows of the trail: one before, one that says how it ended.

    Errors: those of `Backfill.run`, which the trail has too.
    """
    wanted: dict[str, object] = {
        "since": query.since.isoformat(),
        "until": query.until.isoformat() if query.until else None,
        "type": query.type,
        "account": None if query.account_key == OWN_ACCOUNT else query.account_key,
        "effects_since": effects_since.isoformat() if effects_since else None,
    }
    wanted = {name: value for name, value in wanted.items() if value is not None}
    done = Backfilled()

    def keep(now: Backfilled) -> None:
        nonlocal done
        done = now
        told(now)

    async def ended(**reason: str) -> None:
        counts = {name: getattr(done, name) for name in ("listed", "duplicates", "taken", "effects")}
        async with transactions() as conn:
            await record(conn, actor, "stripe.backfill_ended", **wanted, **reason, **counts)

    async with transactions() as conn:
        await record(conn, actor, "stripe.backfill", **wanted)
    try:
        done = await missed.run(query, effects_since=effects_since, wait_s=wait_s, told=keep, waits=waits)
    except (Unavailable, Refused) as error:
        await ended(reason=error.detail)
        raise
    await ended()
    return done


async def load(
    conn: Connection, *, account: str, live: bool, types: Sequence[str], again: bool, actor: Actor
) -> int:
    """Ask for all objects of these types. Returns: how many were not asked for yet; 0: nothing is changed."""
    asked = await load_progress.begin(conn, account=account, live=live, types=types, again=again)
    if asked:
        await record(conn, actor, "stripe.load", account=account, types=asked, again=again)
    return asked


async def set_up(
    endpoints: EndpointSetup, plan: Plan, wish: Wish, *, keep: Keep, transactions: Transactions, actor: Actor
) -> Applied:
    """Make the steps of a plan at Stripe, between two rows of the trail; without steps there are none.

    Errors: those of `EndpointSetup.apply`, which the trail has too.
    """
    if not plan.steps:
        return Applied()
    wanted = {"account": wish.via, "steps": [str(step) for step in plan.steps]}

    async def ended(**how: object) -> None:
        async with transactions() as conn:
            await record(conn, actor, "stripe.setup_ended", account=wish.via, **how)

    async with transactions() as conn:
        await record(conn, actor, "stripe.setup", **wanted)
    try:
        applied = await endpoints.apply(plan, wish, keep)
    except Unavailable as error:
        await ended(reason=error.detail)
        raise
    await ended(done=list(applied.done), failed=list(applied.failed))
    return applied
