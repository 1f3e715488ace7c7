"""The customer whose event it is, for routes that look at it: from the mirror, several in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from postroom.base.db import Pool
from postroom.channels.stripe import store
from postroom.channels.stripe.event import Event
from postroom.encryption.keyring import Keyring
from postroom.resilience.batcher import Batcher


class CustomerUnknown(Exception):
    """An event names a customer that the mirror has not; the text says how it gets there."""


class Customers:
    """Promise: the last state that the mirror has. Does not promise: the one at the moment of the event."""

    def __init__(self, *, pool: Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._lookups: Batcher[tuple[str, str], dict[str, Any] | None] = Batcher(self._look_up)

    async def of(self, event: Event) -> dict[str, Any] | None:
        """None where the event names none. Errors: `CustomerUnknown`; the database's own."""
        customer = event.customer
        if customer is None:
            return None
        if event.object_type == "customer":
            return event.object
        found = await self._lookups.submit((event.account_key, customer))
        if found is None:
            raise CustomerUnknown(
                f"a route looks at the customer, and {customer} is not in the mirror: it comes with its own "
                "events, or by postroom stripe load customer"
            )
        return found

    async def close(self) -> None:
        await self._lookups.close()

    async def _look_up(self, wanted: Sequence[tuple[str, str]]) -> Sequence[dict[str, Any] | None]:
        async with self._pool.acquire() as conn:
            return await store.fetch_objects(conn, wanted, self._keyring)
