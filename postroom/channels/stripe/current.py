"""The current state of an object: when it is needed, and how it is fetched behind the breaker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from datetime import timedelta
from functools import partial
from typing import Any, Final

from postroom.base.log import get_logger
from postroom.channels.stripe.address import address
from postroom.channels.stripe.breakers import Breakers
from postroom.channels.stripe.client import Current, Failed, Fetched, Gone, StripeApi
from postroom.channels.stripe.effects import Plan
from postroom.channels.stripe.entitlements import is_cut
from postroom.channels.stripe.event import Event
from postroom.channels.stripe.store import MirrorState
from postroom.channels.stripe.sublists import ITEMS_MAX, cut_lists, extend, last_id
from postroom.outbox.model import Cause, Deferred, Rejected, RetryLater
from postroom.resilience.breaker import Trip
from postroom.resilience.circuits import Circuits

log = get_logger(__name__)

CLOCKS_DIFFER_MAX: Final = timedelta(hours=1)
"""What was fetched has the time of our clock, an event that of Stripe's."""


def needs_current(event: Event, mirror: MirrorState, plan: Plan, api_version: str | None = None) -> bool:
    """Whether the event's own snapshot is not enough.

    It is not where the event carries none (and the mirror none as new), where somebody asks, where the
    mirror has another event of the same second (nothing orders them), where the mirror is newer and somebody
    would act on the old state, where it has another shape than that of `api_version`, and where it is a list
    of entitlements that is cut: such a list goes on at another address than it says.
    """
    if address(event) is None:
        return False
    if event.thin:
        return not plan.empty or mirror.as_of is None or event.created > mirror.as_of
    if plan.fetch:
        return True
    differs = event.differs_from(api_version) or is_cut(event.object)
    if mirror.as_of is None or event.created > mirror.as_of:
        return differs
    if event.created == mirror.as_of:
        return differs or mirror.mirrored_event_id != event.id
    doubtful = mirror.fetched is True and mirror.as_of - event.created < CLOCKS_DIFFER_MAX
    return doubtful or not plan.empty


def is_ours(answer: Unfetched) -> bool:
    """Whether the key, or the request, will never get it."""
    return not isinstance(answer, Deferred) and answer.cause is Cause.OURS


async def _ask_for_list(url: str, after: str | None, api: StripeApi, event: Event) -> Fetched:
    return await api.fetch_list(event, url, after)


Unfetched = RetryLater | Rejected | Deferred
"""What becomes of the event instead."""


class CurrentObjects:
    """Fetches objects with the key of their account, behind its breaker, which all processes share.

    Promise: while the breaker is open nothing is asked and no attempt is spent.
    """

    def __init__(self, *, apis: Mapping[str, StripeApi], circuits: Circuits) -> None:
        self._apis = apis
        self._breakers = Breakers(circuits)

    async def fetch(self, event: Event) -> Current | Gone | Unfetched:
        """The event's object."""
        return await self._behind_breaker(event, StripeApi.fetch_object)

    async def complete(self, event: Event) -> Event | Unfetched:
        """A thin event with its data, or as it came where Stripe has it no longer."""
        told = await self._behind_breaker(event, StripeApi.fetch_event)
        match told:
            case Current(data):
                return event.completed(data)
            case Gone():
                return event
            case _:
                return told

    async def fetch_list(self, event: Event, url: str) -> dict[str, Any] | Gone | Unfetched:
        """A list of the event's account, and the lists inside its items, each to its end or `ITEMS_MAX`."""
        page = await self._behind_breaker(event, partial(_ask_for_list, url, None))
        if not isinstance(page, Current):
            return page
        whole = await self.complete_lists(event, {**page.data, "url": url})
        if isinstance(whole, Unfetched):
            return whole
        for place, item in enumerate(whole["data"]):
            completed = await self.complete_lists(event, item)
            if isinstance(completed, Unfetched):
                return completed
            whole["data"][place] = completed
        return whole

    async def complete_lists(self, event: Event, object: dict[str, Any]) -> dict[str, Any] | Unfetched:
        """The object with its lists to their ends; itself where none is cut, or the key may not read them."""
        if not cut_lists(object):
            return object
        whole = deepcopy(object)
        for cut in cut_lists(whole):
            while cut["has_more"] and len(cut["data"]) < ITEMS_MAX and (after := last_id(cut)) is not None:
                page = await self._behind_breaker(event, partial(_ask_for_list, cut["url"], after))
                if isinstance(page, Unfetched) and not is_ours(page):
                    return page
                if not isinstance(page, Current):
                    log.warning("stripe.list_stays_cut", event_id=event.id, url=cut["url"])
                    break
                extend(cut, page.data)
        return whole

    async def _behind_breaker(
        self, event: Event, ask: Callable[[StripeApi, Event], Awaitable[Fetched]]
    ) -> Current | Gone | Unfetched:
        if (held := await self._breakers.admit(event.via)) is not None:
            return held
        fetched = await ask(self._apis[event.via], event)
        if not isinstance(fetched, Failed):
            await self._breakers.went_well(event.via)
            return fetched
        if fetched.our_fault and fetched.status != 401:
            await self._breakers.went_well(event.via)
            # What this key will never find is a dead letter at once: somebody is told.
            if fetched.status == 404:
                return Rejected(fetched.reason, code="404", cause=Cause.OURS)
            return RetryLater(fetched.reason, code=str(fetched.status), cause=Cause.OURS, trip=Trip.NO)
        return await self._breakers.failed(event.via, fetched)

    async def close(self) -> None:
        for api in self._apis.values():
            await api.close()
