"""Processes Stripe events: what each is, what it needs, and then its commit."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from postroom.base.clock import Clock
from postroom.base.db import DATABASE_AWAY, Pool
from postroom.base.errors import InvalidInput, InvalidPayload
from postroom.base.log import get_logger, remove_secrets
from postroom.base.stripe_settings import StripeAccount, StripeSettings, setting_of
from postroom.channels.stripe import store
from postroom.channels.stripe.client import Current, Gone
from postroom.channels.stripe.commit import Asked, Commits, Work
from postroom.channels.stripe.current import CurrentObjects, Unfetched, is_ours, needs_current
from postroom.channels.stripe.customers import Customers, CustomerUnknown
from postroom.channels.stripe.effects import NO_EFFECTS, EffectFailed, Effects, Plan
from postroom.channels.stripe.event import Event, parse, split_account
from postroom.channels.stripe.ingest import quarantined
from postroom.channels.stripe.message import is_again, is_mirrored_only
from postroom.channels.stripe.store import EventState, MirrorState
from postroom.channels.stripe.transaction import Origin, key_prefix
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.engine.sources import Sources
from postroom.outbox.model import (
    Answer,
    Cause,
    Channel,
    Claim,
    Delivered,
    Rejected,
    RetryLater,
    Settled,
    Trip,
)
from postroom.outbox.references import Source
from postroom.resilience.batcher import Batcher

log = get_logger(__name__)

CONCURRENCY_MAX: Final = 128
"""So many events are in work at once: what is ready together commits together."""
FETCHES_MAX: Final = 16
HANDLING_MAX: Final = 6
"""Handlers hold a connection each; the pool's others are for everybody else."""
HANDLING_S: Final = 20.0
GATHER_S: Final = 0.004
COMMIT_S: Final = 30.0
HAS_MORE: Final = ('"has_more": true', '"has_more":true')


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
        sources: Sources | None = None,
    ) -> None:
        """`sources`: where effects may refer to their event; without it they repeat what they need of it."""
        # Fetching and handling may wait for all the others; each turn has a limit of its own.
        fetching_s = settings.timeout_s * CONCURRENCY_MAX / FETCHES_MAX
        self.timeout_s = fetching_s + HANDLING_S * CONCURRENCY_MAX / HANDLING_MAX + COMMIT_S
        self._fetching = asyncio.Semaphore(FETCHES_MAX)
        self._handling = asyncio.Semaphore(HANDLING_MAX)
        self._pool = pool
        self._settings = settings
        self._clock = clock
        self._current = current
        self._effects = effects
        self._keyring = keyring
        self._sources = sources
        self._mirror_states: Batcher[tuple[UUID, str | None], MirrorState | None] = Batcher(
            self._look_up, gather_s=GATHER_S
        )
        self._customers = Customers(pool=pool, keyring=keyring)
        self._commits = Commits(pool=pool, clock=clock, keyring=keyring)

    async def deliver(self, claim: Claim) -> Answer:
        try:
            event = parse(claim.body())
        except InvalidInput as error:
            return Rejected(
                f"this is no Stripe event: {error.message}", code=InvalidPayload.code, cause=Cause.OURS
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
        for name, account in self._settings.by_name().items():
            if account.webhook_secrets and account.api_key is None:
                detail = "snapshots are used as they came; thin events fail"
                log.warning("stripe.no_api_key", account=name, detail=detail)

    async def close(self) -> None:
        await self._current.close()
        await self._mirror_states.close()
        await self._customers.close()
        await self._commits.close()

    async def _process(self, claim: Claim, event: Event) -> Answer:
        started_s = self._clock.monotonic()
        mirror = await self._mirror_states.submit((claim.message_id, event.object_id))
        if mirror is None:
            if is_mirrored_only(claim.key):
                return Delivered(detail="came in once more meanwhile")
            return Rejected("no such event came in through the webhook", cause=Cause.OURS)
        via, _ = split_account(mirror.account)
        event = event if via == event.via else msgspec.structs.replace(event, via=via)
        account = self._settings.account(event.via)
        if account is None:
            return _ours(f"{setting_of(event.via, '…')} is not set any more")
        plan = self._effects.plan(event.type) if mirror.effects else NO_EFFECTS
        state = _state(event, plan, account)
        asked = Asked.nothing(event)
        if state is not EventState.QUARANTINED:
            answer = await self._ask(claim, event, mirror, plan, account)
            if isinstance(answer, Unfetched):
                return answer
            asked = answer
        if plan.customer and state is not EventState.QUARANTINED:
            asked = await self._with_customer(asked)
        origin, source = await self._origin(claim, event), await self._source(claim, plan)
        work = Work(claim, event, plan, state, origin, started_s, source, asked, account.api_version)
        if plan.handlers:
            await self._handle(work)
        else:
            await self._commits.submit(work)
        return Settled()

    async def _ask(
        self, claim: Claim, event: Event, mirror: MirrorState, plan: Plan, account: StripeAccount
    ) -> Asked | Unfetched:
        """What the event itself does not say, where somebody waits for it or the mirror lacks it."""
        waited = not plan.empty
        stale = needs_current(event, mirror, plan, account.api_version)
        if account.api_key is None:
            missing = event.thin and waited
            return (
                _ours(f"{setting_of(event.via, 'API_KEY')} is not set") if missing else Asked.nothing(event)
            )
        newest = mirror.as_of is None or event.created >= mirror.as_of
        # Looked for in the text first: most events have no list that is cut.
        cut = (waited or newest) and any(each in claim.payload for each in HAS_MORE)
        if not (stale or cut or (event.thin and waited)):
            return Asked.nothing(event)
        async with self._fetching:
            return await self._ask_stripe(event, waited=waited, stale=stale)

    async def _ask_stripe(self, event: Event, *, waited: bool, stale: bool) -> Asked | Unfetched:
        told, as_of, fetched = event, event.created, None
        if event.thin and waited:
            completed = await self._current.complete(event)
            if isinstance(completed, Unfetched):
                return completed
            told = completed
        if stale:
            as_of = self._clock.now()
            answer = await self._current.fetch(event)
            if not isinstance(answer, Unfetched):
                fetched = answer
            elif waited or not event.thin or not is_ours(answer):
                return answer
            else:  # nobody waits for it, and a key that may not read such objects never will
                log.warning("stripe.not_mirrored", event_id=event.id, reason=answer.reason)
        if isinstance(fetched, Gone):
            return Asked(told, as_of, fetched)
        seen = told.object if fetched is None else fetched.data
        whole = await self._current.complete_lists(event, seen)
        if isinstance(whole, Unfetched):
            return whole
        if fetched is None:
            return Asked(told.with_object(whole), as_of)
        return Asked(told, as_of, dataclasses.replace(fetched, data=whole))

    async def _with_customer(self, asked: Asked) -> Asked:
        """Errors: `EffectFailed` where the mirror has no such customer yet."""
        seen = asked.event
        if isinstance(asked.fetched, Current):
            seen = seen.with_object(asked.fetched.data)
        try:
            buyer = await self._customers.of(seen)
        except CustomerUnknown as unknown:
            raise EffectFailed(str(unknown)) from unknown
        return dataclasses.replace(asked, event=msgspec.structs.replace(asked.event, buyer=buyer))

    async def _source(self, claim: Claim, plan: Plan) -> Source | None:
        """This event, where effects may refer to it; what delivers them here has it at hand then."""
        if self._sources is None or not plan.routes or not await self._sources.understood():
            return None
        return self._sources.keep(claim.message_id, claim.payload)

    async def _handle(self, work: Work) -> None:
        """Handlers are other people's code in this transaction: nobody else's event waits for them."""
        async with self._handling:
            limit = asyncio.timeout(HANDLING_S)
            try:
                async with limit:
                    await self._commits.alone(work)
            except TimeoutError:
                if not limit.expired():
                    raise
                names = ", ".join(handler.name for handler in work.plan.handlers)
                raise EffectFailed(f"{names}: no end within {HANDLING_S:g} s") from None

    async def _origin(self, claim: Claim, event: Event) -> Origin:
        sent = list[tuple[str, str]]()
        if is_again(claim.key):  # only then can it have sent anything
            async with self._pool.acquire() as conn:
                sent = await store.list_sent(
                    conn, correlation_id=claim.correlation_id, key_prefix=key_prefix(event)
                )
        return Origin(
            claim.correlation_id,
            claim.traceparent,
            now=self._clock.now(),
            keyring=self._keyring,
            earlier=self._effects.earlier(sent),
        )

    async def _look_up(self, events: Sequence[tuple[UUID, str | None]]) -> Sequence[MirrorState | None]:
        async with self._pool.acquire() as conn:
            return await store.fetch_mirror_states(conn, events)


def _state(event: Event, plan: Plan, account: StripeAccount) -> EventState:
    if quarantined(event, account):
        return EventState.QUARANTINED
    return EventState.IGNORED if plan.empty else EventState.PROCESSED


def _ours(reason: str) -> RetryLater:
    return RetryLater(reason, cause=Cause.OURS, trip=Trip.NO)
