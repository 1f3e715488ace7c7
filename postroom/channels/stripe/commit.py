"""The end of a Stripe event: mirror, effects, state and settlement commit together, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import msgspec

from postroom.base.clock import Clock
from postroom.base.db import DATABASE_AWAY, Connection, Pool, transaction
from postroom.base.errors import PostroomError
from postroom.base.log import get_logger
from postroom.channels.stripe import store
from postroom.channels.stripe.client import Current, Gone
from postroom.channels.stripe.effects import Plan
from postroom.channels.stripe.event import Event
from postroom.channels.stripe.ingest import COUNTER
from postroom.channels.stripe.store import EventState, ObjectRow
from postroom.channels.stripe.transaction import Origin
from postroom.encryption.keyring import Keyring
from postroom.outbox.model import Claim, Message
from postroom.outbox.policy import delivered
from postroom.outbox.publish import publish_many
from postroom.outbox.references import Source, refer
from postroom.outbox.store import count_outcome, settle_claims
from postroom.resilience.batcher import Batcher

log = get_logger(__name__)

BATCH_MAX: Final = 100


class _ClaimLost(Exception):
    """Another worker holds a delivery now: everything is rolled back."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What Stripe was asked for. `event`: as it came, with what it lacked. `fetched`: its object, as of
    `as_of`; None where nothing was asked."""

    event: Event
    as_of: datetime
    fetched: Current | Gone | None = None

    @classmethod
    def nothing(cls, event: Event) -> Asked:
        return cls(event, event.created)


@dataclass(frozen=True, slots=True)
class Work:
    """One event, decided on, ready for its transaction.

    `source`: the event as its effects may refer to it, instead of repeating it. `api_version`: the one that
    objects should have.
    """

    claim: Claim
    event: Event
    plan: Plan
    state: EventState
    origin: Origin
    started_s: float
    source: Source | None
    asked: Asked
    api_version: str | None = None

    @property
    def acts(self) -> bool:
        return self.state is not EventState.QUARANTINED

    @property
    def detail(self) -> str:
        """What the attempt says of it: how it ended, and that its object is of another version, if it is."""
        shaped = isinstance(self.asked.fetched, Current) or not self.event.differs_from(self.api_version)
        if shaped or not self.acts:
            return self.state
        return f"{self.state}; its object is of API version {self.event.api_version} and cannot be fetched"

    @property
    def seen(self) -> Event:
        """The event as routes and handlers see it: with the current object where that was fetched."""
        told = self.asked.event
        match self.asked.fetched:
            case Current(data):
                return told.with_object(data)
            case Gone() if told.thin:
                return told.with_object({**told.object, "deleted": True})
            case _:
                return told

    def mirrored(self) -> ObjectRow | None:
        """What the mirror should have of its object; None where it tells nothing of one."""
        event = self.event
        match self.asked.fetched:
            case _ if event.object_id is None:
                return None
            case Current(data, version):
                return ObjectRow(
                    event, data, deleted=False, as_of=self.asked.as_of, api_version=version, fetched=True
                )
            case None if event.thin:
                return None
            case _:
                told = self.asked.event.object
                text = bytes(self.source.object).decode() if self.source and told is event.object else None
                return ObjectRow(event, told, event.says_deleted, event.created, event.api_version, text=text)


class Commits:
    """Commits what is ready together in one transaction, while the next gathers.

    Promise: an event's messages, the mirror of its object and its end commit together, under keys that make a
    second processing send nothing twice. A fault of one leaves its neighbours alone: when a batch fails, each
    of it is tried by itself. Two events of one object are never in a batch: their ordering key sees to it.
    """

    def __init__(self, *, pool: Pool, clock: Clock, keyring: Keyring) -> None:
        self._pool = pool
        self._clock = clock
        self._keyring = keyring
        self._ready: Batcher[tuple[Work, list[Message]], None] = Batcher(self._together, batch_max=BATCH_MAX)

    async def submit(self, work: Work) -> None:
        """Errors: `EffectFailed`; what the driver raises. Nothing is committed after any of them."""
        await self._ready.submit((work, _messages(work)))

    async def alone(self, work: Work) -> None:
        """In a transaction of its own, its handlers inside. Errors: as `submit`."""
        [error] = await self._together([(work, _messages(work))])
        if error is not None:
            raise error

    async def close(self) -> None:
        await self._ready.close()

    async def _together(self, batch: Sequence[tuple[Work, list[Message]]]) -> list[Exception | None]:
        """Errors: one of `DATABASE_AWAY`, for all of them."""
        try:
            await self._commit(batch)
        except DATABASE_AWAY:
            raise
        except (_ClaimLost, asyncpg.PostgresError, PostroomError) as error:
            if len(batch) == 1:
                return [_unless_lost(error, batch[0][0])]
            return [each for one in batch for each in await self._together([one])]
        return [None] * len(batch)

    async def _commit(self, batch: Sequence[tuple[Work, list[Message]]]) -> None:
        """The claims are settled last: their counters are shared rows, held no longer than need be."""
        works = [work for work, _ in batch]
        async with transaction(self._pool) as conn:
            await _mirror(conn, works, self._keyring)
            messages = [message for _, each in batch for message in each]
            await publish_many(conn, messages, keyring=self._keyring)
            for work in works:
                if work.acts:
                    await work.plan.run_handlers(conn, work.seen, work.origin)
            await store.mark_events(conn, [(work.claim.message_id, work.state) for work in works])
            await self._settle(conn, works)
        for work in works:
            _log(work)

    async def _settle(self, conn: Connection, works: Sequence[Work]) -> None:
        now_s = self._clock.monotonic()
        ended = [
            (work.claim, delivered(detail=work.detail), round((now_s - work.started_s) * 1_000))
            for work in works
        ]
        if await settle_claims(conn, ended):
            raise _ClaimLost
        processed = sum(work.state is EventState.PROCESSED for work in works)
        for label, count in (("ignored", len(works) - processed), ("processed", processed)):
            if count:
                worker = works[0].claim.worker
                await count_outcome(conn, name=COUNTER, label=label, worker=worker, value=count)


def _unless_lost(error: Exception, work: Work) -> Exception | None:
    """A claim that another worker holds now is its business, and no failure."""
    if not isinstance(error, _ClaimLost):
        return error
    message_id, event_id = str(work.claim.message_id), work.event.id
    log.warning("stripe.claim_lost", message_id=message_id, event_id=event_id)
    return None


def _messages(work: Work) -> list[Message]:
    if not work.acts:
        return []
    messages = work.plan.messages(work.seen, work.origin)
    if work.source is None:
        return messages
    source, event = work.claim.message_id, work.event.body
    return [
        msgspec.structs.replace(each, payload=refer(each.payload, source=source, event=event))
        for each in messages
    ]


async def _mirror(conn: Connection, works: Sequence[Work], keyring: Keyring) -> None:
    acting = [work for work in works if work.acts]
    rows = [row for work in acting if (row := work.mirrored()) is not None]
    await store.upsert_objects(conn, rows, keyring)
    for work in acting:
        if isinstance(work.asked.fetched, Gone) and work.event.object_id is not None:
            await store.mark_deleted(conn, event=work.event, as_of=work.asked.as_of)


def _log(work: Work) -> None:
    log.info(
        f"stripe.{work.state}",
        event_id=work.event.id,
        type=work.event.type,
        message_id=str(work.claim.message_id),
        correlation_id=work.claim.correlation_id,
        fetched=work.asked.fetched is not None,
    )
