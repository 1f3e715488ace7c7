"""Endpoints as deliveries need them: looked up in batches and kept for a moment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

from postroom.base.clock import Clock
from postroom.base.db import Pool
from postroom.channels.webhooks import store
from postroom.channels.webhooks.deployment_secret import DeploymentSecrets, fetch_or_create_secrets
from postroom.channels.webhooks.model import Target
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.resilience.batcher import Batcher

FRESH_S = 2.0
TARGETS_MAX = 10_000


class EndpointCache:
    """Promise: at most `FRESH_S` old. Does not promise: a change is seen at once by other processes.

    A thousand deliveries a second cost one query every few milliseconds at most, for all
    endpoints asked for together, and none for those asked for a moment ago.
    """

    def __init__(self, *, pool: Pool, clock: Clock, keyring: Keyring = NO_KEYS) -> None:
        self._pool = pool
        self._keyring = keyring
        self._clock = clock
        self._known: OrderedDict[UUID, tuple[float, Target | None]] = OrderedDict()
        self._deployment: tuple[float, DeploymentSecrets] | None = None
        self._lookups: Batcher[UUID, Target | None] = Batcher(self._load, flushers_max=2)

    def recent(self, endpoint_id: UUID | None) -> Target | None:
        """As `find`, without a coroutine; None also where it has to wait."""
        known = self._known.get(endpoint_id) if endpoint_id else None
        return known[1] if known is not None and known[0] > self._clock.monotonic() else None

    def last_known(self, endpoint_id: UUID | None) -> Target | None:
        """As it was when it was looked up last, which may be long ago: a hint."""
        known = self._known.get(endpoint_id) if endpoint_id else None
        return known[1] if known is not None else None

    async def find(self, endpoint_id: UUID) -> Target | None:
        """Returns: None when the endpoint was deleted."""
        known = self._known.get(endpoint_id)
        if known is not None and known[0] > self._clock.monotonic():
            return known[1]
        return await self._lookups.submit(endpoint_id)

    async def deployment_secrets(self) -> DeploymentSecrets:
        """What signs deliveries to a url of the payload. Errors: `Unreadable`."""
        if self._deployment is None or self._deployment[0] <= self._clock.monotonic():
            async with self._pool.acquire() as conn:
                secrets = await fetch_or_create_secrets(conn, self._keyring)
            self._deployment = (self._clock.monotonic() + FRESH_S, secrets)
        return self._deployment[1]

    def forget(self, endpoint_id: UUID) -> None:
        """Look it up anew next time: this process has changed it."""
        self._known.pop(endpoint_id, None)

    async def close(self) -> None:
        await self._lookups.close()

    async def _load(self, ids: Sequence[UUID]) -> Sequence[Target | None]:
        async with self._pool.acquire() as conn:
            found = await store.fetch_targets(conn, set(ids), self._keyring)
        until = self._clock.monotonic() + FRESH_S
        for endpoint_id in ids:
            self._known[endpoint_id] = (until, found.get(endpoint_id))
            self._known.move_to_end(endpoint_id)
        while len(self._known) > TARGETS_MAX:
            self._known.popitem(last=False)
        return [found.get(endpoint_id) for endpoint_id in ids]
