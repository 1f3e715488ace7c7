"""Processes Stripe events: effects, mirror and settlement commit together, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg

from postroom.base.clock import Clock
from postroom.base.db import DATABASE_AWAY, Connection, Pool, transaction
from postroom.base.errors import InvalidInput, InvalidPayload
from postroom.base.log import get_logger, remove_secrets
from postroom.base.settings import StripeSettings
from postroom.channels.stripe import store
from postroom.channels.stripe.client import Current, Gone
from postroom.channels.stripe.current import CurrentObjects, needs_current
from postroom.channels.stripe.effects import EffectFailed, Effects, Plan
from postroom.channels.stripe.event import Event, parse
from postroom.channels.stripe.ingest import COUNTER, quarantined
from postroom.channels.stripe.message import is_again
from postroom.channels.stripe.store import EventState, ObjectRow
from postroom.channels.stripe.transaction import Origin, key_prefix
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.engine.settlement import settle_within
from postroom.outbox.model import (
    Answer,
    Cause,
    Channel,
    Claim,
    Deferred,
    Delivered,
    Rejected,
    RetryLater,
    Settled,
    Trip,
)

log = get_logger(__name__)

CONCURRENCY_MAX: Final = 16
PROCESSING_S: Final = 30.0


class _ClaimLost(Exception):
    """Another worker holds the delivery now: everything is rolled back."""


@dataclass(frozen=True, slots=True)
class _Work:
    """One event, decided on, ready for its transaction. `fetched`: None where nothing was asked."""

    claim: Claim
    event: Event
    plan: Plan
    state: EventState
    started_s: float
    as_of: datetime
    fetched: Current | Gone | None = None


class StripeAdapter:
    """The way of a Stripe event through the ledger.

    Promise: an event's messages, the mirror of its object and its end commit in one transaction,
    under keys that make a second processing send nothing twice.
    Does not promise: a later event of the same object waits while this one is tried again.
    """

    channel = Channel.STRIPE
    circuit: str | None = ""
    concurrency_max = CONCURRENCY_MAX
    per_destination_max = CONCURRENCY_MAX

    def __init__(
        self,
        *,
        pool: Pool,
        settings: StripeSettings,
        clock: Clock,
        current: CurrentObjects,
        effects: Effects,
        keyring: Keyring = NO_KEYS,
    ) -> None:
        self.timeout_s = settings.timeout_s + PROCESSING_S
        self._pool = pool
        self._settings = settings
        self._clock = clock
        self._current = current
        self._effects = effects
        self._keyring = keyring

    async def deliver(self, claim: Claim) -> Answer:
        try:
            event = parse(claim.body())
        except InvalidInput as error:
            return Rejected(
                f"this is no Stripe event: {error.told}", code=InvalidPayload.code, cause=Cause.OURS
            )
        try:
            return await self._process(claim, event)
        except EffectFailed as failure:
            return RetryLater(str(failure), cause=Cause.OURS, trip=Trip.NO)
        except (*DATABASE_AWAY, asyncpg.TransactionRollbackError) as error:
            return RetryLater(f"the database was away: {type(error).__name__}", trip=Trip.NO)
        except asyncpg.PostgresError as error:
            reason = remove_secrets(f"PostgreSQL refused: {error}")
            return RetryLater(reason, cause=Cause.OURS, trip=Trip.NO)

    def check(self, _payload: dict[str, Any]) -> None:
        raise InvalidPayload("Stripe events come in through the webhook only", field="channel")

    async def start(self) -> None:
        if not self._current.configured:
            log.warning("stripe.no_api_key", detail="snapshots are used as they came; thin events fail")

    async def close(self) -> None:
        await self._current.close()

    async def _process(self, claim: Claim, event: Event) -> Answer:
        started_s = self._clock.monotonic()
        async with self._pool.acquire() as conn:
            standing = await store.fetch_mirror_state(conn, event)
        if standing is None or standing.message_id != claim.message_id:
            return Rejected("no such event came in through the webhook", cause=Cause.OURS)
        plan = self._effects.plan(event.type)
        state = self._state(event, plan)
        work = _Work(claim, event, plan, state, started_s, event.created)
        if state is not EventState.QUARANTINED and needs_current(event, standing, plan):
            if self._current.configured:
                asked_at = self._clock.now()
                fetched = await self._current.fetch(event)
                if isinstance(fetched, RetryLater | Deferred):
                    return fetched
                work = _Work(claim, event, plan, state, started_s, asked_at, fetched)
            elif event.thin:
                return RetryLater("POSTROOM_STRIPE__API_KEY is not set", cause=Cause.OURS, trip=Trip.NO)
        return await self._commit(work)

    def _state(self, event: Event, plan: Plan) -> EventState:
        if quarantined(event, self._settings):
            return EventState.QUARANTINED
        return EventState.IGNORED if plan.empty else EventState.PROCESSED

    async def _commit(self, work: _Work) -> Settled:
        """The claim is settled last: its counters are shared rows, held no longer than need be."""
        try:
            async with transaction(self._pool) as conn:
                if work.state is not EventState.QUARANTINED:
                    await _mirror(conn, work, self._keyring)
                    await work.plan.apply(conn, _as_seen(work), await self._origin(conn, work))
                await store.mark_event(conn, event=work.event, state=work.state)
                await self._settle(conn, work)
        except _ClaimLost:
            log.warning("stripe.claim_lost", message_id=str(work.claim.message_id), event_id=work.event.id)
            return Settled()
        log.info(
            f"stripe.{work.state}",
            event_id=work.event.id,
            type=work.event.type,
            message_id=str(work.claim.message_id),
            correlation_id=work.claim.correlation_id,
            fetched=work.fetched is not None,
        )
        return Settled()

    async def _origin(self, conn: Connection, work: _Work) -> Origin:
        claim, sent = work.claim, list[tuple[str, str]]()
        if is_again(claim.key):  # only then can it have sent anything
            sent = await store.list_sent(
                conn, correlation_id=claim.correlation_id, key_prefix=key_prefix(work.event)
            )
        before = self._effects.earlier(sent)
        return Origin(claim.correlation_id, claim.traceparent, self._keyring, before)

    async def _settle(self, conn: Connection, work: _Work) -> None:
        duration_ms = round((self._clock.monotonic() - work.started_s) * 1_000)
        label = "processed" if work.state is EventState.PROCESSED else "ignored"
        outcome = Delivered(detail=work.state)
        if not await settle_within(
            conn, work.claim, outcome, duration_ms=duration_ms, count=(COUNTER, label)
        ):
            raise _ClaimLost


def _as_seen(work: _Work) -> Event:
    """The event as routes and handlers see it: with the current object where that was fetched."""
    match work.fetched:
        case Current(data):
            return work.event.with_object(data)
        case Gone() if work.event.thin:
            return work.event.with_object({**work.event.object, "deleted": True})
        case _:
            return work.event


async def _mirror(conn: Connection, work: _Work, keyring: Keyring) -> None:
    event = work.event
    if event.object_id is None:
        return
    match work.fetched:
        case Current(data):
            row = ObjectRow(event, data, deleted=False, as_of=work.as_of, fetched=True)
            await store.upsert_object(conn, row, keyring)
        case Gone():
            await store.upsert_object(conn, _snapshot(event), keyring)
            await store.mark_deleted(conn, event=event, as_of=work.as_of)
        case None if not event.thin:
            await store.upsert_object(conn, _snapshot(event), keyring)


def _snapshot(event: Event) -> ObjectRow:
    return ObjectRow(event, event.object, deleted=event.says_deleted, as_of=event.created, fetched=False)
