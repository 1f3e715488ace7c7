"""What a customer may use, fetched from Stripe: after a checkout the webhook may still be under way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import msgspec

from postroom.base.cancelling import cancel
from postroom.base.clock import Clock
from postroom.base.db import Pool, transaction
from postroom.base.log import get_logger
from postroom.base.stripe_settings import StripeSettings, setting_of
from postroom.channels.stripe import refresh_store, store
from postroom.channels.stripe.client import Current, Gone
from postroom.channels.stripe.current import CLOCKS_DIFFER_MAX, CurrentObjects, Unfetched, is_ours
from postroom.channels.stripe.entitlements import SUMMARY
from postroom.channels.stripe.event import Event, parse, split_account
from postroom.channels.stripe.refresh_store import Asked, Code, Fault
from postroom.channels.stripe.store import ObjectRow
from postroom.encryption.keyring import Keyring
from postroom.worker.model import Job, JobContext
from postroom.worker.wakeup import POLL_S, Wakeup

log = get_logger(__name__)

NAME: Final = "stripe-refresh"
"""The job, and what it is woken by."""
AT_ONCE_MAX: Final = 4
WITHIN_S: Final = 20.0
SUBSCRIPTIONS: Final = "/v1/subscriptions?customer={}&status=all"


class CustomerRefresh:
    """Answers requests for a customer's access.

    Promise: customer, subscriptions and entitlements go into the mirror as what is fetched for events does,
    so whatever is newer there stays. Every request is answered, if only by what went wrong; one that came
    meanwhile is answered by another fetch.
    Does not promise: entitlements that the key may not read.
    """

    def __init__(
        self, *, pool: Pool, settings: StripeSettings, current: CurrentObjects, keyring: Keyring, clock: Clock
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._current = current
        self._keyring = keyring
        self._clock = clock

    async def answer_next(self) -> bool:
        """Whether there was one. Errors: what the driver raises; it is due again then."""
        async with transaction(self._pool) as conn:
            asked = await refresh_store.take_refresh(conn)
        if asked is None:
            return False
        try:
            async with asyncio.timeout(WITHIN_S):
                fault = await self._refresh(asked)
        except TimeoutError:
            fault = Fault(Code.AWAY, f"Stripe did not answer within {WITHIN_S:g} s")
        async with transaction(self._pool) as conn:
            await refresh_store.answer_refresh(conn, asked, fault)
        log.info("stripe.customer_refreshed", customer=asked.customer, account=asked.account, fault=fault)
        return True

    async def _refresh(self, asked: Asked) -> Fault | None:
        via, connected = split_account(asked.account)
        account = self._settings.account(via)
        if account is None:
            return Fault(Code.NO_ACCOUNT, f"the settings have no account {via}")
        if account.api_key is None:
            return Fault(Code.REFUSED, f"{setting_of(via, 'API_KEY')} is not set")
        about = partial(_about, via=via, connected=connected, live=account.live, at=self._clock.now())
        person = about({"id": asked.customer, "object": "customer"})
        entitlements = about({"object": SUMMARY, "customer": asked.customer})
        customer, listed, entitled = await asyncio.gather(
            self._current.fetch(person),
            self._current.fetch_list(person, SUBSCRIPTIONS.format(quote(asked.customer, safe=""))),
            self._current.fetch(entitlements),
        )
        if isinstance(customer, Gone):
            async with transaction(self._pool) as conn:
                known = await store.mark_deleted(conn, event=person, as_of=person.created)
            text = f"Stripe has no customer {asked.customer} in the account {asked.account}"
            return None if known else Fault(Code.NO_CUSTOMER, text)
        if not isinstance(listed, dict):
            return _fault(listed, customer, entitled) or Fault(Code.AWAY, "Stripe listed no subscriptions")
        if (fault := _fault(customer, entitled)) and fault.code is Code.AWAY:
            return fault
        found = [
            (person, customer),
            (entitlements, entitled),
            *((about(each), Current(each, account.api_version)) for each in listed["data"]),
        ]
        await self._apply(
            [(event, each) for event, each in found if isinstance(each, Current)], listed, asked
        )
        return None

    async def _apply(
        self, found: Sequence[tuple[Event, Current]], listed: dict[str, Any], asked: Asked
    ) -> None:
        """What the mirror has of this customer and Stripe lists no more, is gone, if it is not brand new."""
        as_of = found[0][0].created
        rows = [
            ObjectRow(
                event, each.data, deleted=False, as_of=as_of, api_version=each.api_version, fetched=True
            )
            for event, each in found
        ]
        async with transaction(self._pool) as conn:
            await store.upsert_objects(conn, rows, self._keyring)
            if listed["has_more"]:
                return
            had = await refresh_store.list_subscriptions_of(
                conn, asked.account, asked.customer, before=as_of - CLOCKS_DIFFER_MAX
            )
            for each in set(had) - {event.object_id for event, _ in found}:
                gone = msgspec.structs.replace(found[0][0], object_id=each)
                await store.mark_deleted(conn, event=gone, as_of=as_of)


def _about(object: dict[str, Any], *, via: str, connected: str | None, live: bool, at: datetime) -> Event:
    """An object as if an event of now told of it."""
    body = {"id": "refresh", "type": "refresh.updated", "account": connected, "livemode": live}
    return msgspec.structs.replace(parse({**body, "data": {"object": object}}, via=via), created=at)


def _fault(*answers: object) -> Fault | None:
    """What went wrong first: away goes before what the key may not read."""
    failed = [each for each in answers if isinstance(each, Unfetched)]
    faults = [Fault(Code.REFUSED if is_ours(each) else Code.AWAY, each.reason) for each in failed]
    return min(faults, key=lambda each: each.code, default=None)


def refresh_job(refresh: CustomerRefresh, *, wakeup: Wakeup) -> Job:
    """Answers requests in every runner, all the time, a few at once."""

    async def run(context: JobContext) -> int:
        count = 0

        async def answering() -> None:
            nonlocal count
            while not context.stop.is_set():
                if await refresh.answer_next():
                    count += 1
                elif context.once:
                    return
                elif not await wakeup.sleeping_on(NAME):
                    await wakeup.wait(NAME, POLL_S)
                await context.progress(count)

        lanes = [asyncio.create_task(answering()) for _ in range(AT_ONCE_MAX)]
        try:
            await asyncio.gather(*lanes)
        finally:
            await cancel(lanes)
            await wakeup.awake_on(NAME)
        return count

    return Job(name=NAME, run=run, every_s=1.0, continuous=True)
