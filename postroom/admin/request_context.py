"""What a request to the API or the console works with, and how it reaches the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from postroom.admin.token_verifier import TokenVerifier
from postroom.base.clock import Clock
from postroom.base.db import Connection, Pool
from postroom.base.settings import Settings
from postroom.encryption.keyring import Keyring
from postroom.health.readiness import Readiness
from postroom.metrics.gauges import GaugeReader
from postroom.outbox.model import Adapter, Channel

ACQUIRE_TIMEOUT_S: Final = 5.0
TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """One application's parts, as far as API and console have them in common."""

    settings: Settings
    clock: Clock
    pool: Pool
    keyring: Keyring
    adapters: Mapping[Channel, Adapter]
    gauges: GaugeReader
    readiness: Readiness
    verifier: TokenVerifier

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction for a change and its audit row. Errors: `TimeoutError` after `TIMEOUT_S`."""
        async with (
            asyncio.timeout(TIMEOUT_S),
            self.pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as conn,
            conn.transaction(),
        ):
            yield conn

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A read-only view of one moment, so that what one answer shows agrees with itself."""
        async with (
            asyncio.timeout(TIMEOUT_S),
            self.pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield conn
