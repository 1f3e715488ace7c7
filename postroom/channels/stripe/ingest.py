"""Stripe's way in: verified, booked in the ledger, committed; only then acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from postroom.base.clock import Clock
from postroom.base.db import DATABASE_AWAY, Connection, Pool, transaction
from postroom.base.errors import InvalidInput, PostroomError, Unavailable
from postroom.base.log import get_logger
from postroom.base.stripe_settings import StripeAccount, StripeSettings
from postroom.channels.stripe import store
from postroom.channels.stripe.event import Event, decode, parse
from postroom.channels.stripe.message import message_of, mirror_message, placed
from postroom.channels.stripe.signature import SignatureVerifier
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.publish import Published, publish_many
from postroom.outbox.store import count_outcome
from postroom.resilience.batcher import Batcher

log = get_logger(__name__)

STORE_TIMEOUT_S: Final = 10.0
RETRY_AFTER_S: Final = 5
COUNTER: Final = "stripe_outcome"


class Received(msgspec.Struct, frozen=True, gc=False):
    """What the sender is told. `duplicate`: it was here before, and nothing new was booked."""

    message_id: UUID
    event_id: str
    event_type: str
    duplicate: bool


class Arrival(msgspec.Struct, frozen=True):
    """One event on its way into the ledger. `secret`: the fingerprint that matched; None: a backfill.

    `effects`: False for one that only fills the mirror.
    """

    event: Event
    raw: bytes
    secret: str | None
    traceparent: str | None = None
    effects: bool = True


class Ingest:
    """Takes events in, many in one commit.

    Promise: what it answered for is committed: the message, its delivery and the raw body.
    One event that cannot be stored never fails the ones beside it. What only filled the mirror may come in
    once more with its effects, by Stripe's own retry for one.
    Does not promise: it processes nothing.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        settings: StripeSettings,
        clock: Clock,
        worker: int = 0,
        keyring: Keyring = NO_KEYS,
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._settings = settings
        self._worker = worker
        self._clock = clock
        self.believe(settings)
        self._arrivals: Batcher[Arrival, Received] = Batcher(self._store)
        self._refusals: Batcher[None, None] = Batcher(self._count_refusals)

    def believe(self, settings: StripeSettings) -> None:
        """From now on, what is signed with one of these webhook secrets."""
        self._verifier = SignatureVerifier(
            secrets={name: account.webhook_secrets for name, account in settings.by_name().items()},
            tolerance_s=settings.tolerance_s,
            clock=self._clock,
        )

    def signer_of(self, body: bytes, signature: str | None) -> str | None:
        """The account whose webhook secret has signed this, now or at another time."""
        secret = self._verifier.find(body, signature)
        return None if secret is None else secret.account

    def owner_of(self, body: bytes, account: str) -> str | None:
        """Whom the directory is to be asked for. None where this account's events are all in one ledger.

        Errors: `InvalidInput` for a body that is no event.
        """
        return parse(decode(body), via=account).owner if self._settings.shared(account) else None

    async def only_own(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Without those that the directory gives to another ledger."""
        shared = {each.event.owner for each in arrivals if self._settings.shared(each.event.via)}
        if not shared:
            return list(arrivals)
        async with self._pool.acquire() as conn:
            away = await store.list_elsewhere(conn, shared)
        return [each for each in arrivals if each.event.owner not in away]

    async def receive(self, body: bytes, signature: str | None, traceparent: str | None = None) -> Received:
        """Verify, then read, then store. `traceparent` goes with everything that the event causes.

        Errors: `SignatureInvalid`; `InvalidInput` for a body that is no event; `Unavailable` while
        the database is away or no secret is set, `TenantElsewhere` where another ledger has it. After any of
        them nothing was stored.
        """
        if not self._verifier.configured:
            raise Unavailable("POSTROOM_STRIPE__WEBHOOK_SECRETS is not set", retry_after_s=60)
        try:
            secret = self._verifier.verify(body, signature)
            event = parse(decode(body), via=secret.account)
        except InvalidInput as refusal:
            log.warning("stripe.refused", code=refusal.code, reason=refusal.detail)
            await self._refuse()
            raise
        return await self.take(Arrival(event, body, secret.fingerprint, traceparent))

    async def take(self, arrival: Arrival) -> Received:
        """Store an event whose origin is proved already. Errors: `Unavailable`, `TenantElsewhere`."""
        try:
            return await self._arrivals.submit(arrival)
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            log.warning("stripe.not_stored", error=type(error).__name__)
            raise Unavailable(
                "the database cannot be written right now", retry_after_s=RETRY_AFTER_S
            ) from error

    async def close(self) -> None:
        """Wait until everything taken in is stored."""
        await self._arrivals.close()
        await self._refusals.close()

    async def _store(self, arrivals: Sequence[Arrival]) -> list[Received | Exception]:
        try:
            return list(await self._commit(arrivals))
        except DATABASE_AWAY:
            raise
        except (asyncpg.PostgresError, PostroomError):
            if len(arrivals) == 1:
                raise
        return [await self._store_alone(arrival) for arrival in arrivals]

    async def _store_alone(self, arrival: Arrival) -> Received | Exception:
        try:
            [received] = await self._commit([arrival])
        except (*DATABASE_AWAY, asyncpg.PostgresError, PostroomError) as error:
            return error
        return received

    async def _commit(self, arrivals: Sequence[Arrival]) -> list[Received]:
        rows = [self._row(a) for a in arrivals]
        async with asyncio.timeout(STORE_TIMEOUT_S):
            if self._keyring.current is None:
                # One statement is one transaction; asyncpg returns when PostgreSQL is ready again, after the
                # commit.
                async with self._pool.acquire() as conn:
                    booked = await store.book_events(conn, rows, worker=self._worker)
            else:
                async with transaction(self._pool) as conn:
                    booked = await self._book_encrypted(conn, rows)
        return [
            Received(p.id, a.event.id, a.event.type, duplicate=not p.new)
            for a, p in zip(arrivals, booked, strict=True)
        ]

    async def _book_encrypted(self, conn: Connection, rows: Sequence[store.EventRow]) -> list[Published]:
        """Several statements, for what is encrypted is bound to the id that its message gets first."""
        booked = await publish_many(conn, [row.message for row in rows], keyring=self._keyring)
        new = [(row, each.id) for row, each in zip(rows, booked, strict=True) if each.new]
        await store.insert_events(conn, new, self._keyring)
        if known := len(rows) - len(new):
            await count_outcome(conn, name=COUNTER, label="duplicate", worker=self._worker, value=known)
        return booked

    def _row(self, arrival: Arrival) -> store.EventRow:
        event = arrival.event
        if arrival.effects:
            message = message_of(event, traceparent=arrival.traceparent)
        else:
            message = mirror_message(event)
        if self._settings.shared(event.via):
            message = placed(message, event.owner)
        state = self._state(event)
        return store.EventRow(event, message, state, arrival.secret, arrival.effects, arrival.raw)

    def _state(self, event: Event) -> store.EventState:
        account = self._settings.account(event.via)
        if account is None or quarantined(event, account):
            return store.EventState.QUARANTINED
        return store.EventState.RECEIVED

    async def _refuse(self) -> None:
        try:
            await self._refusals.submit(None)
        except (*DATABASE_AWAY, asyncpg.PostgresError, Unavailable) as error:
            log.warning("stripe.refusal_not_counted", error=type(error).__name__)

    async def _count_refusals(self, refusals: Sequence[None]) -> list[Exception | None]:
        async with asyncio.timeout(STORE_TIMEOUT_S), transaction(self._pool) as conn:
            await count_outcome(conn, name=COUNTER, label="error", worker=self._worker, value=len(refusals))
        return [None] * len(refusals)


def quarantined(event: Event, account: StripeAccount) -> bool:
    """Whether this event is of the mode that its account is not of here: kept, and never acted on."""
    return event.livemode is not None and event.livemode != account.live
