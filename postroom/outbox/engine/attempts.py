"""One attempt: the breaker is asked, the adapter tries, the breaker is told."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from postroom.base.db import DATABASE_AWAY, DATABASE_FAILURES
from postroom.base.errors import InvalidInput
from postroom.base.log import get_logger
from postroom.base.tracing import attempt_span, is_on
from postroom.encryption.keyring import NO_KEYS, Keyring, Unreadable
from postroom.outbox.encryption import RESERVED, try_opened, unreadable
from postroom.outbox.engine.sources import Sources
from postroom.outbox.engine.watched_starts import WatchedStarts
from postroom.outbox.model import (
    Adapter,
    Answer,
    BatchAdapter,
    Cause,
    Claim,
    Deferred,
    Delivered,
    Rejected,
    RetryLater,
    Settled,
    Try,
    Unknown,
    Wait,
    database_away,
)
from postroom.resilience.breaker import Trip
from postroom.resilience.circuits import Circuits
from postroom.resilience.time_limit import TimeLimit

log = get_logger(__name__)

OPEN_WAIT_MAX_S: Final = 300.0
"""So that a breaker which a person closes is not waited for much longer."""
_CUT_OFF: Final = (RetryLater("the attempt was cut off", trip=Trip.NO),)  # made once: this is a hot path


class Attempts:
    """Tries deliveries of one adapter.

    Promise: an answer for every claim, whatever the adapter does; it never raises but when cancelled.
    """

    def __init__(
        self,
        *,
        adapter: Adapter,
        circuits: Circuits,
        sources: Sources,
        starts: WatchedStarts,
        keyring: Keyring = NO_KEYS,
    ) -> None:
        self._adapter = adapter
        self._starts = starts
        self._sources = sources
        self._keyring = keyring
        self._circuits = circuits
        self._limit = TimeLimit(adapter.timeout_s)
        self._batched = adapter if isinstance(adapter, BatchAdapter) else None

    def circuit_of(self, claim: Claim) -> str:
        """The breaker's name for this delivery; empty when the engine keeps none."""
        if self._adapter.circuit is None:
            return f"{claim.channel}:{claim.destination}"
        return self._adapter.circuit

    async def closed_off(self) -> dict[str, float]:
        """Destinations whose own breaker lets nothing through for now, and for how many seconds more."""
        if self._adapter.circuit is not None:
            return {}
        return await self._circuits.not_yet(f"{self._adapter.channel}:")

    # The first three hand on the next one's coroutine: one of their own each would be a tenth of an attempt.
    def batch(self, claims: Sequence[Claim]) -> Coroutine[Any, Any, Sequence[Answer]]:
        """Try claims of one destination together; one answer each, in order."""
        for claim in claims:
            if claim.started_no is not None:
                return self._starts.tried(claims, self._opened)
        return self._opened(claims)

    def _opened(self, claims: Sequence[Claim]) -> Coroutine[Any, Any, Sequence[Answer]]:
        if self._keyring.refuses_open(self._adapter.channel):
            return try_opened(claims, self._keyring, self._completed)
        for claim in claims:
            if claim.payload.startswith(RESERVED):
                whole = self._sources.complete_from_memory(claims)
                if whole is None:
                    return try_opened(claims, self._keyring, self._completed)
                return self._batch(whole)
        return self._batch(claims)

    def _completed(self, claims: Sequence[Claim]) -> Coroutine[Any, Any, Sequence[Answer]]:
        return self._sources.try_completed(claims, self._batch)

    async def _batch(self, claims: Sequence[Claim]) -> Sequence[Answer]:
        circuit = self.circuit_of(claims[0])
        if circuit and not self._circuits.is_untroubled(circuit):
            try:
                wait_s = await self._circuits.admit(circuit)
            except DATABASE_FAILURES as error:
                return [database_away(error)] * len(claims)
            if wait_s is not None:
                reason = f"circuit {circuit} is open"
                deferred = Deferred(Wait.CIRCUIT_OPEN, reason, min(wait_s, OPEN_WAIT_MAX_S))
                return [deferred] * len(claims)
        answers: Sequence[Answer] = _CUT_OFF
        try:
            answers = await (_traced(self._try, claims) if is_on() else self._try(claims))
        finally:
            if circuit and not _proves_nothing(answers[0]):
                trip, reason, after_s = worst_trip(answers)
                if trip is not None or not self._circuits.is_untroubled(circuit):
                    await self._circuits.record(circuit, trip, reason, after_s=after_s)
        return answers

    async def _try(self, claims: Sequence[Claim]) -> Sequence[Answer]:
        answer: Answer
        try:
            with self._limit:
                if self._batched is None or len(claims) == 1:
                    return [await self._adapter.deliver(claims[0])]
                return await self._asked(self._batched, claims)
        except TimeoutError:
            return [Unknown(f"no answer within {self._adapter.timeout_s:g} s")] * len(claims)
        except Unreadable as error:  # not its payload: a secret that the adapter needs
            answer = unreadable(error, claims[0])
        except InvalidInput as error:
            answer = Rejected(error.detail, code=error.code, cause=Cause.OURS)
        except DATABASE_AWAY as error:
            return [database_away(error)] * len(claims)
        except Exception as error:
            # A fault of ours must cost this delivery an attempt, not the engine its life.
            log.exception(
                "adapter.raised",
                channel=self._adapter.channel,
                message_id=str(claims[0].message_id),
                claims=len(claims),
            )
            reason = f"{type(error).__name__} in the {self._adapter.channel} adapter"
            answer = RetryLater(reason, code="internal", cause=Cause.OURS, trip=Trip.NO)
        if len(claims) == 1:
            return [answer]
        # It may be the fault of one: in halves, until that one is alone. None of its neighbours pays for it.
        middle = len(claims) // 2
        return [*await self._try(claims[:middle]), *await self._try(claims[middle:])]

    async def _asked(self, adapter: BatchAdapter, claims: Sequence[Claim]) -> Sequence[Answer]:
        answers = await adapter.deliver_batch(claims)
        if len(answers) != len(claims):
            raise RuntimeError(f"{len(answers)} answers for {len(claims)} deliveries")
        return answers


def _proves_nothing(answer: Answer) -> bool:
    """What was put off was not tried: as a trial it counts as lost, and another one follows. Not so what is
    parked: there nobody tries any more, and its breaker would never close."""
    return isinstance(answer, Deferred) and answer.wait is not Wait.PARKED


TripOf = tuple[Trip | None, str, float | None]
"""What an answer says of the breaker, why, and when the destination wants to be asked again."""


def worst_trip(answers: Sequence[Answer]) -> TripOf:
    """What a batch of answers says of the destination: one success outweighs single strikes."""
    if len(answers) == 1:
        return _trip(answers[0])
    trips = [_trip(answer) for answer in answers]
    for wanted in (Trip.NOW, None, Trip.STRIKE):
        for each in trips:
            if each[0] is wanted:
                return each
    return Trip.NO, "", None


def _trip(answer: Answer) -> TripOf:
    match answer:
        case Delivered():
            return None, "", None
        case RetryLater(reason=reason, trip=trip, after_s=after_s):
            return trip, reason, after_s if trip is Trip.NOW else None
        case Unknown(reason=reason):
            return Trip.STRIKE, reason, None
        case Deferred():
            return Trip.NO, "", None
        case Settled() | _:
            return None, "", None


async def _traced(attempt: Try, claims: Sequence[Claim]) -> Sequence[Answer]:
    """Make the attempt inside a span, linked to whoever published.

    Ids and outcomes only: never payloads, never what a receiver said."""
    links = [claim.traceparent for claim in claims]
    with attempt_span(f"deliver {claims[0].channel}", links, _span_attributes(claims)) as span:
        answers = await attempt(claims)
        span.set_attribute("postroom.outcomes", sorted({type(answer).__name__ for answer in answers}))
    return answers


def _span_attributes(claims: Sequence[Claim]) -> dict[str, str | int | Sequence[str]]:
    shared: dict[str, str | int | Sequence[str]] = {
        "messaging.system": "postroom",
        "messaging.operation.type": "process",
        "messaging.destination.name": claims[0].channel,
        "messaging.batch.message_count": len(claims),
    }
    if len(claims) > 1:
        return {**shared, "postroom.message_ids": [str(claim.message_id) for claim in claims]}
    [claim] = claims
    return {
        **shared,
        "messaging.message.id": str(claim.message_id),
        "messaging.message.conversation_id": claim.correlation_id,
        "postroom.attempt": claim.attempts + 1,
    }
