"""The way back after downtime: what Stripe has and we have not comes in through the same door."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from postroom.base.clock import Clock
from postroom.base.db import Pool
from postroom.base.errors import InvalidInput, PostroomError, Unavailable
from postroom.base.log import get_logger
from postroom.channels.stripe import store
from postroom.channels.stripe.breakers import circuit_of
from postroom.channels.stripe.client import EventPage, EventQuery, Failed, ListEvents, StripeApi
from postroom.channels.stripe.event import Event, decode, is_thin, parse
from postroom.channels.stripe.ingest import Arrival, Ingest
from postroom.resilience.breaker import Trip
from postroom.resilience.circuits import Circuits
from postroom.worker.store import list_other_versions

log = get_logger(__name__)

PAGES_KEPT: Final = 10
SAMPLE_MAX: Final = 10
RETRY_S: Final = 1.0


class Refused(PostroomError):
    """Stripe answered that it will not list events for us."""

    code = "stripe_refused"
    status = 502
    title = "Stripe refused to list its events"


@dataclass(frozen=True, slots=True)
class Missed:
    """An event that Stripe has and we had not."""

    event_id: str
    type: str
    object_id: str | None
    created: datetime


@dataclass(frozen=True, slots=True)
class Backfilled:
    """`listed`: what Stripe has; `duplicates`: known here; `missing`: not known; `taken`: booked now.

    `taken` is 0 after a dry run. `effects`: how many of the missing cause what routes and handlers say; what
    only filled the mirror before is missing to them. `sample`: some of what was missing. `left_out`: why thin
    events were not listed, if they were not.
    """

    listed: int = 0
    duplicates: int = 0
    missing: int = 0
    taken: int = 0
    effects: int = 0
    sample: tuple[Missed, ...] = ()
    left_out: str | None = None


Told = Callable[[Backfilled], None]
Waits = Callable[[str, float], None]


async def _nobody(_count: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Selection:
    """What of the lists is looked at: types that are wanted, and thin events or not.

    `counts`: hears how many are missing before they are taken in; too many, where this process dies between.
    """

    wants: Callable[[str], bool] = lambda _type: True
    thin: bool = True
    counts: Callable[[int], Awaitable[None]] = _nobody


EVERYTHING: Final = Selection()


class Backfill:
    """Reads Stripe's list of events behind the breaker of the account and takes in what is missing.

    Promise: what is known already is left alone; it can be stopped and run again at any time. What it takes
    in fills the mirror and causes nothing, unless that is asked for.
    Of an account that several ledgers share it takes what the directory gives to this one.
    Does not promise: Stripe lists the events of the last 30 days. A key that may not list thin events leaves
    them out, and it is said.
    """

    def __init__(
        self, *, pool: Pool, apis: Mapping[str, StripeApi], ingest: Ingest, circuits: Circuits, clock: Clock
    ) -> None:
        self._pool = pool
        self._apis = apis
        self._ingest = ingest
        self._circuits = circuits
        self._clock = clock

    def check(self, query: EventQuery) -> None:
        """Errors: `InvalidInput` without such an account, or its API key."""
        api = self._apis.get(query.via)
        if api is None:
            raise InvalidInput(f"the settings have no account {query.via}", field="account")
        if not api.configured:
            raise InvalidInput(f"{api.key_setting} is not set", field=api.key_setting)

    async def run(
        self,
        query: EventQuery,
        *,
        effects_since: datetime | None = None,
        dry_run: bool = False,
        only: Selection = EVERYTHING,
        wait_s: float = 600.0,
        told: Told = lambda _: None,
        waits: Waits = lambda _reason, _s: None,
    ) -> Backfilled:
        """Take in what is missing, oldest first. Our own account's id means what no account means.

        `effects_since`: what was created then or later causes what routes and handlers say.
        An outage of Stripe is waited for, up to `wait_s` for one page. `told` hears how far it is after
        each batch, `waits` why and for how many seconds it waits.
        Errors: `InvalidInput` without an API key; `Refused` when Stripe does not accept it;
        `Unavailable` when Stripe or the database is away, and while processes of another version are at work,
        which might act on what should cause nothing, if anything should. What was taken before stays.
        """
        self.check(query)
        if not dry_run and (effects_since is None or query.since < effects_since):
            await self._check_versions()
        if query.account is not None and query.account == await self._own_account(query.via):
            query = replace(query, account=None)
        done = Backfilled()
        for lists in query.lists if only.thin else query.lists[:1]:
            try:
                async for batch in self._batches(query, lists, wait_s, waits):
                    arrivals = [
                        _arrival(event, query, effects_since)
                        for event in reversed(batch)
                        if only.wants(str(event.get("type")))
                    ]
                    done = _added(
                        done, await self._take_missing(arrivals, query, only.counts, dry_run=dry_run)
                    )
                    told(done)
            except Refused as refusal:
                if lists is query.lists[0]:
                    raise
                done = replace(done, left_out=refusal.detail)
        log.info("stripe.backfilled", since=query.since.isoformat(), listed=done.listed, taken=done.taken)
        return done

    async def _batches(
        self, query: EventQuery, lists: ListEvents, wait_s: float, waits: Waits
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Oldest first, while Stripe lists the newest first: the pages in between are asked for twice.

        The first one is kept, for the list grows before it.
        """
        newest = page = await self._page(query, lists, None, wait_s, waits)
        places, oldest = list[str](), deque[EventPage](maxlen=PAGES_KEPT)
        while page.next is not None:
            places.append(page.next)
            page = await self._page(query, lists, places[-1], wait_s, waits)
            oldest.append(page)
        for place in reversed(places):
            page = oldest.pop() if oldest else await self._page(query, lists, place, wait_s, waits)
            yield list(page.events)
        yield list(newest.events)

    async def _check_versions(self) -> None:
        async with self._pool.acquire() as conn:
            others = await list_other_versions(conn)
        if others:
            told = ", ".join(others)
            raise Unavailable(f"processes of another version ({told}) are at work: end the upgrade first")

    async def _own_account(self, via: str) -> str | None:
        """None where this key may not ask. Errors: `Unavailable`."""
        circuit = circuit_of(via)
        answer: str | Failed = Failed(f"the breaker {circuit} is open")
        if await self._circuits.admit(circuit) is None:
            answer = await self._apis[via].fetch_own_account()
            lost = isinstance(answer, Failed) and not (answer.our_fault or answer.limited)
            await self._circuits.record(circuit, Trip.STRIKE if lost else None)
        if isinstance(answer, str):
            return answer
        if not answer.our_fault:
            raise Unavailable(f"Stripe did not say which account is our own: {answer.reason}")
        log.warning("stripe.own_account_unknown", reason=answer.reason)
        return None

    async def _page(
        self, query: EventQuery, lists: ListEvents, after: str | None, wait_s: float, waits: Waits
    ) -> EventPage:
        """The page once Stripe gives it."""
        deadline_s = self._clock.monotonic() + wait_s
        api, circuit = self._apis[query.via], circuit_of(query.via)
        while True:
            pause_s, reason = await self._circuits.admit(circuit), f"the breaker {circuit} is open"
            if pause_s is None:
                page = await lists(api, query, after=after)
                if isinstance(page, EventPage):
                    await self._circuits.record(circuit, None)
                    return page
                await self._after_failure(page, api, circuit)
                pause_s, reason = page.after_s or RETRY_S, page.reason
            if self._clock.monotonic() + pause_s > deadline_s:
                raise Unavailable(f"Stripe's list of events cannot be read: {reason}")
            waits(reason, pause_s)
            await asyncio.sleep(pause_s)

    async def _after_failure(self, failed: Failed, api: StripeApi, circuit: str) -> None:
        """A refused key is one strike only: it may be this shell's, while the runner's is good."""
        if failed.limited:
            if failed.status is not None:
                await self._circuits.record(circuit, None)
            return
        refused_key = failed.status in (401, 403)
        trip = Trip.NO if failed.our_fault and not refused_key else Trip.STRIKE
        await self._circuits.record(circuit, trip, failed.reason)
        if refused_key:
            raise Refused(f"Stripe refused {api.key_setting} (HTTP {failed.status})")
        if failed.our_fault:
            raise Refused(failed.reason)

    async def _take_missing(
        self,
        arrivals: Sequence[Arrival],
        query: EventQuery,
        counts: Callable[[int], Awaitable[None]],
        *,
        dry_run: bool,
    ) -> Backfilled:
        arrivals = await self._ingest.only_own(arrivals)
        async with self._pool.acquire() as conn:
            known = await store.list_known(
                conn, account=query.account_key, event_ids=[a.event.id for a in arrivals]
            )
        missing = [each for each in arrivals if known.get(each.event.id) not in (True, each.effects)]
        if missing and not dry_run:
            await counts(len(missing))
        received = (
            [] if dry_run else await asyncio.gather(*(self._ingest.take(arrival) for arrival in missing))
        )
        late = sum(one.duplicate for one in received)  # the webhook brought it meanwhile
        return Backfilled(
            listed=len(arrivals),
            duplicates=len(arrivals) - len(missing) + late,
            missing=len(missing) - late,
            taken=len(received) - late,
            effects=sum(each.effects for each in missing),
            sample=tuple(_missed(arrival.event) for arrival in missing[-SAMPLE_MAX:]),
        )


def _added(one: Backfilled, other: Backfilled) -> Backfilled:
    return Backfilled(
        listed=one.listed + other.listed,
        duplicates=one.duplicates + other.duplicates,
        missing=one.missing + other.missing,
        taken=one.taken + other.taken,
        effects=one.effects + other.effects,
        sample=(*reversed(other.sample), *one.sample)[:SAMPLE_MAX],
        left_out=one.left_out,
    )


def _missed(event: Event) -> Missed:
    return Missed(event.id, event.type, event.object_id, event.created)


def _arrival(listed: dict[str, Any], query: EventQuery, effects_since: datetime | None) -> Arrival:
    """A listed event as the webhook would have brought it; the list leaves the account out."""
    owner = "context" if is_thin(listed) else "account"
    raw = msgspec.json.encode(listed if query.account is None else {**listed, owner: query.account})
    event = parse(decode(raw), via=query.via)
    return Arrival(
        event, raw, secret=None, effects=effects_since is not None and event.created >= effects_since
    )
