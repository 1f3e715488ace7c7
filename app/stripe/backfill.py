"""The way back after downtime: what Stripe has and we have not comes in through the same door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import aiohttp
import msgspec
from stripe import StripeError

from app.base.db import Pool
from app.base.errors import InvalidInput, Unavailable
from app.base.log import get_logger
from app.stripe import store
from app.stripe.client import StripeApi
from app.stripe.event import OWN_ACCOUNT, decode, parse
from app.stripe.ingest import Arrival, Ingest

log = get_logger(__name__)

BATCH_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Backfilled:
    """`listed`: what Stripe has since then; `taken`: how many of these were missing here."""

    listed: int
    taken: int


class Backfill:
    """Reads `/v1/events` and takes in what is missing.

    Promise: what is known already is left alone; it can be run again at any time.
    Non-promise: Stripe lists snapshot events of the last 30 days, and no thin events.
    """

    def __init__(self, *, pool: Pool, api: StripeApi, ingest: Ingest) -> None:
        self._pool = pool
        self._api = api
        self._ingest = ingest

    async def run(self, *, since: datetime, account: str | None = None) -> Backfilled:
        """Take in events created at `since` or later, oldest first within each 1,000.

        Errors: `InvalidInput` without an API key; `Unavailable` when Stripe or the database is away.
        """
        if not self._api.configured:
            raise InvalidInput("POSTROOM_STRIPE__API_KEY is not set", field="POSTROOM_STRIPE__API_KEY")
        listed = taken = 0
        try:
            async for batch in self._batches(since, account):
                listed += len(batch)
                taken += await self._take_missing(batch, account)
        except (StripeError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"Stripe's list of events cannot be read: {type(error).__name__}") from error
        log.info("stripe.backfilled", since=since.isoformat(), listed=listed, taken=taken)
        return Backfilled(listed, taken)

    async def _batches(self, since: datetime, account: str | None) -> AsyncIterator[list[dict[str, Any]]]:
        batch: list[dict[str, Any]] = []
        async for event in self._api.list_events(since=int(since.timestamp()), account=account):
            batch.append(event)
            if len(batch) >= BATCH_MAX:
                yield batch
                batch = []
        if batch:
            yield batch

    async def _take_missing(self, listed: Sequence[dict[str, Any]], account: str | None) -> int:
        arrivals = [_arrival(event, account) for event in reversed(listed)]
        async with self._pool.acquire() as conn:
            known = await store.list_known(
                conn, account=account or OWN_ACCOUNT, event_ids=[a.event.id for a in arrivals]
            )
        missing = [arrival for arrival in arrivals if arrival.event.id not in known]
        received = await asyncio.gather(*(self._ingest.take(arrival) for arrival in missing))
        return sum(not one.duplicate for one in received)


def _arrival(listed: dict[str, Any], account: str | None) -> Arrival:
    """A listed event as the webhook would have brought it; the list leaves the account out."""
    raw = msgspec.json.encode(listed if account is None else {**listed, "account": account})
    return Arrival(parse(decode(raw)), raw, secret=None)
