"""The job `stripe-reconcile`: what Stripe has and no webhook brought comes in all the same."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Final

from postroom.base.clock import Clock
from postroom.base.db import Pool
from postroom.base.errors import InvalidInput, Unavailable
from postroom.base.log import get_logger
from postroom.base.stripe_settings import StripeSettings
from postroom.channels.stripe import drift
from postroom.channels.stripe.backfill import Backfill, Refused, Selection
from postroom.channels.stripe.client import EventQuery, StripeApi
from postroom.channels.stripe.drift import EndpointStatus
from postroom.channels.stripe.effects import Effects
from postroom.channels.stripe.endpoint_plan import Found, Wish
from postroom.channels.stripe.endpoints import Kind
from postroom.channels.stripe.setup import EndpointSetup, StripeRefused
from postroom.channels.stripe.wanted import WantedTypes
from postroom.channels.stripe.wishes import wish_of
from postroom.worker.model import Job, JobContext

log = get_logger(__name__)

EVERY_S: Final = 300.0
YOUNG: Final = timedelta(minutes=2)
"""The webhook of what is younger is simply under way."""
OVERLAP: Final = timedelta(minutes=15)
"""Stripe may list an event later than one that it created after it, and clocks differ."""
WINDOW: Final = timedelta(hours=1)
"""After a downtime the cursor moves an hour at a time: a run that ends early has not been in vain."""
EFFECTS_MAX: Final = timedelta(days=3)
"""As long as Stripe itself sends what it got no 200 for."""
WINDOWS_S: Final = 240.0
"""For windows of all accounts together, of a run's ten minutes: none is left without its turn."""
WAIT_S: Final = 60.0


class Reconcile:
    """Compares Stripe's lists of events with what came in, for each account that has an API key.

    Promise: what was missed is booked by the function that books a webhook's events, so it causes its
    effects once, whoever brings it. The cursor moves after that; a run that fails keeps it. What is older
    than `EFFECTS_MAX` by then fills the mirror only.
    Where a tenant has moved between ledgers, the new one looks again from where the old one stood.
    Does not promise: events of connected accounts; those that Stripe made before the first run; what it
    lists no more after 30 days.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        settings: StripeSettings,
        apis: Mapping[str, StripeApi],
        backfill: Backfill,
        effects: Effects,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._apis = apis
        self._backfill = backfill
        self._effects = effects
        self._clock = clock

    async def run(self, context: JobContext) -> int:
        """Returns: how many events it took in.

        Errors: `Unavailable` with what went wrong, after all accounts had their turn.
        """
        taken, faults = 0, list[str]()
        async with self._pool.acquire() as conn:
            await drift.forget_others(conn, self._settings.by_name())
        for via in self._settings.by_name():
            try:
                taken += await self._account(via, context)
            except (InvalidInput, Refused, Unavailable) as error:
                faults.append(f"account {via}: {error.detail}")
        async with self._pool.acquire() as conn:
            await drift.note_last_events(conn)
        if faults:
            raise Unavailable("; ".join(faults))
        return taken

    async def _account(self, via: str, context: JobContext) -> int:
        account, keyed = self._settings.by_name()[via], self._apis[via].configured
        # Stripe creates snapshot events at whole seconds, and is asked for whole ones.
        end = (self._clock.now() - YOUNG).replace(microsecond=0)
        async with self._pool.acquire() as conn:
            row = await drift.begin(conn, account=via, live=account.live, keyed=keyed, at=end)
        if not keyed:
            return 0
        wish = wish_of(self._settings, via, self._effects)
        await self._look_at_endpoints(wish)
        only = Selection(
            wants=partial(self._wants, wish.types),
            thin=bool(wish.types.thin),
            counts=partial(self._count, via),
        )
        taken, cursor = 0, row["cursor_at"]
        seen = cursor
        since = max(row["began_at"], cursor - OVERLAP)
        deadline_s = self._clock.monotonic() + WINDOWS_S / len(self._settings.by_name())
        while True:
            until = min(end, cursor + WINDOW)
            if since < until:
                taken += await self._take(EventQuery(since=since, until=until, via=via), only)
            async with self._pool.acquire() as conn:
                seen = await drift.move(conn, account=via, live=account.live, seen=seen, to=until)
            if seen is None:
                return taken
            since = cursor = max(cursor, until)
            if cursor >= end or context.stop.is_set() or self._clock.monotonic() > deadline_s:
                return taken

    async def _take(self, query: EventQuery, only: Selection) -> int:
        """Errors: those of `Backfill.run`; `Refused` also where thin events are wanted and cannot be had."""
        done = await self._backfill.run(
            query, effects_since=self._clock.now() - EFFECTS_MAX, only=only, wait_s=WAIT_S
        )
        if done.left_out is not None:
            raise Refused(f"thin events: {done.left_out}")
        return done.taken

    def _wants(self, types: WantedTypes, event_type: str) -> bool:
        named = event_type in types.snapshot or event_type in types.thin
        return named or not self._effects.plan(event_type).empty

    async def _count(self, via: str, count: int) -> None:
        log.warning("stripe.events_missed", account=via, count=count)
        async with self._pool.acquire() as conn:
            await drift.add_missed(conn, account=via, count=count)

    async def _look_at_endpoints(self, wish: Wish) -> None:
        """What is not known because Stripe did not answer stays as it was."""
        setup = EndpointSetup(self._apis[wish.via], clock=self._clock, wait_s=0.0)
        try:
            status, reason = status_of(await setup.look(wish), wish)
        except StripeRefused as refused:
            status, reason = EndpointStatus.UNKNOWN, refused.detail
        except Unavailable as away:
            log.warning("stripe.endpoints_not_looked_at", account=wish.via, reason=away.detail)
            return
        async with self._pool.acquire() as conn:
            await drift.note_endpoint(conn, account=wish.via, status=status, reason=reason)


def status_of(found: Found, wish: Wish) -> tuple[EndpointStatus, str | None]:
    """The worst of those that are wanted, and why. None of them is missing while nobody has said where to:
    `stripe listen` needs none, and a proxy may have another path."""
    troubles = list[tuple[EndpointStatus, str]]()
    for kind in wish.kinds:
        if kind is Kind.THIN and found.thin_fault is not None:
            continue
        ours = [each for each in found.endpoints if each.kind is kind and each.leads_to(wish.url)]
        if any(each.enabled for each in ours):
            continue
        if ours:
            troubles.append((EndpointStatus.DISABLED, f"{kind} endpoint {ours[0].id} is disabled"))
        elif wish.url is not None:
            troubles.append((EndpointStatus.MISSING, f"no {kind} endpoint leads to {wish.url}"))
        else:
            troubles.append((EndpointStatus.UNKNOWN, "POSTROOM_STRIPE__WEBHOOK_URL is not set"))
    worst_first = (EndpointStatus.MISSING, EndpointStatus.DISABLED, EndpointStatus.UNKNOWN)
    worst = min(troubles, key=lambda trouble: worst_first.index(trouble[0]), default=None)
    return worst or (EndpointStatus.ENABLED, None)


def reconcile_job(reconcile: Reconcile) -> Job:
    """Every 5 minutes, all accounts one after the other."""
    return Job(name="stripe-reconcile", run=reconcile.run, every_s=EVERY_S, timeout_s=2 * EVERY_S)
