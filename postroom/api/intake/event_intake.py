"""Publishing for many callers at once: one transaction for all that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg

from postroom.base.db import DATABASE_AWAY, Pool, transaction
from postroom.base.errors import InvalidInput, TenantElsewhere
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.model import Message
from postroom.outbox.publish import Published, count_receivers, publish_batch, publish_many
from postroom.resilience.batcher import Batcher

TIMEOUT_S: Final = 15.0
REQUESTS_MAX: Final = 200
LARGE: Final = 20

Request = Sequence[Message]
Result = list[Published]


class EventIntake:
    """Promise: a caller gets its ids only after the commit; its messages are stored all or none.

    Small requests that wait together are stored together. What one of them breaks is tried
    again one by one, so that only its own sender sees the error. Large ones go alone.
    """

    def __init__(self, *, pool: Pool, keyring: Keyring = NO_KEYS) -> None:
        self._pool = pool
        self._keyring = keyring
        self._batcher: Batcher[Request, Result] = Batcher(self._flush, batch_max=REQUESTS_MAX, flushers_max=2)

    async def publish(self, messages: Request) -> Result:
        """Errors: what the database raises; `Unavailable` when too many wait."""
        if len(messages) > LARGE:
            return await self._store(messages)
        return await self._batcher.submit(messages)

    async def publish_batch(self, messages: Request, then: Message, *, on: str) -> tuple[Result, UUID | None]:
        """A batch and what follows it, by itself; see `publish_batch`."""
        async with asyncio.timeout(TIMEOUT_S), transaction(self._pool) as conn:
            stored, follower = await publish_batch(conn, messages, then, on=on, keyring=self._keyring)
            return await count_receivers(conn, messages, stored, keyring=self._keyring), follower

    async def close(self) -> None:
        """Wait until everything handed in is stored."""
        await self._batcher.close()

    async def _flush(self, requests: Sequence[Request]) -> Sequence[Result | Exception]:
        try:
            stored = await self._store([message for request in requests for message in request])
        except DATABASE_AWAY:
            raise
        except (asyncpg.PostgresError, InvalidInput, TenantElsewhere):
            return await self._one_by_one(requests)
        results: list[Result] = []
        for request in requests:
            results.append(stored[: len(request)])
            del stored[: len(request)]
        return results

    async def _one_by_one(self, requests: Sequence[Request]) -> list[Result | Exception]:
        results: list[Result | Exception] = []
        for request in requests:
            try:
                results.append(await self._store(request))
            except (asyncpg.PostgresError, InvalidInput, TenantElsewhere, *DATABASE_AWAY) as error:
                results.append(error)
        return results

    async def _store(self, messages: Request) -> Result:
        async with asyncio.timeout(TIMEOUT_S), transaction(self._pool) as conn:
            stored = await publish_many(conn, messages, keyring=self._keyring)
            return await count_receivers(conn, messages, stored, keyring=self._keyring)
