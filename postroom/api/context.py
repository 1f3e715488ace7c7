"""What the routes work with, and how they reach the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Final, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from postroom.admin.token_verifier import TokenVerifier
from postroom.api.http.http_metrics import HttpMetrics
from postroom.api.intake.event_intake import EventIntake
from postroom.base.clock import Clock
from postroom.base.db import Connection, Pool
from postroom.base.settings import Settings
from postroom.encryption.keyring import Keyring
from postroom.health.readiness import Readiness
from postroom.metrics.gauges import GaugeReader
from postroom.metrics.host import HostReader
from postroom.outbox.model import Adapter, Channel

ACQUIRE_TIMEOUT_S: Final = 5.0
TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Context:
    """One application's parts. Kept in `app.state.context`."""

    settings: Settings
    clock: Clock
    pool: Pool
    adapters: Mapping[Channel, Adapter]
    readiness: Readiness
    gauges: GaugeReader
    machine: HostReader
    verifier: TokenVerifier
    intake: EventIntake
    keyring: Keyring
    started_s: float
    http_metrics: HttpMetrics = field(default_factory=HttpMetrics)

    def uptime_s(self) -> float:
        return self.clock.monotonic() - self.started_s

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction for a change and its audit row. Errors: `TimeoutError` after 30 s."""
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


def context_of(connection: HTTPConnection) -> Context:
    return cast("Context", connection.app.state.context)


ContextDependency = Annotated[Context, Depends(context_of)]
