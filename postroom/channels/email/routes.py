"""The routes of mail: which server a mail goes through, and which it may go through instead."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from postroom.base.clock import Clock
from postroom.base.db import Pool
from postroom.base.email_settings import EmailRoute, EmailSettings
from postroom.channels.email.connections import Connections
from postroom.channels.email.outcomes import Failure, Phase, outcome_of
from postroom.channels.email.route_rate import RouteRate
from postroom.channels.email.senders import Senders
from postroom.channels.email.smtp import SmtpFailed, step
from postroom.channels.email.target import parse_target
from postroom.outbox.model import Deferred, RetryLater, Wait
from postroom.resilience.breaker import Trip
from postroom.resilience.circuits import Circuits


@dataclass(slots=True, eq=False)
class Route:
    """One mail server. `name`: empty for the only one, POSTROOM_EMAIL__URL."""

    name: str
    settings: EmailRoute
    connections: Connections
    rate: RouteRate | None = None

    @property
    def circuit(self) -> str:
        return f"email:{self.name}"


class Routes:
    """Promise: a mail keeps its order of routes as long as the settings stay; over many mails the first ones
    are shared out by weight. A tenant that a route names goes by such routes only, whoever else is away.

    With one route the engine's breaker `email` is the only one, as it is where `circuits` are not given.
    """

    def __init__(
        self,
        settings: EmailSettings,
        *,
        hostname: str,
        clock: Clock,
        circuits: Circuits | None,
        pool: Pool | None = None,
    ) -> None:
        """`pool`: where rates are kept; without it there is none. Errors: `SettingsInvalid`."""
        self._all = [
            Route(
                name,
                chosen,
                Connections(
                    parse_target(chosen.url, tls_ca=settings.tls_ca, setting=setting_of(name)),
                    hostname=hostname,
                    connections_max=chosen.connections_max or settings.connections_max,
                    timeout_s=settings.timeout_s,
                ),
            )
            for name, chosen in settings.all_routes().items()
        ]
        self._circuits = circuits if self.several else None
        for route in self._all:
            if pool is not None and route.settings.per_second is not None:
                route.rate = RouteRate(
                    pool=pool,
                    clock=clock,
                    name=route.name,
                    setting=setting_of(route.name, "PER_SECOND"),
                    per_second=route.settings.per_second,
                    waiting_max=route.settings.connections_max or settings.connections_max,
                )

    @property
    def all(self) -> Sequence[Route]:
        return self._all

    @property
    def several(self) -> bool:
        return len(self._all) > 1

    def of(self, message_id: UUID, tenant: str, *, stays: str | None = None) -> list[Route]:
        """In which order they are tried. `stays`: the one that may have it already, if it is still there."""
        if not self.several:
            return self._all
        found = [route for route in self._all if tenant in route.settings.tenants]
        found = found or [route for route in self._all if not route.settings.tenants]
        kept = [route for route in self._all if route.name == stays]
        return kept or sorted(found, key=lambda route: _draw(message_id, route))

    async def admit(self, route: Route) -> Deferred | None:
        """None: go ahead, and say afterwards how it went. Errors: the database's own."""
        if self._circuits is not None and not self._circuits.is_untroubled(route.circuit):
            wait_s = await self._circuits.admit(route.circuit)
            if wait_s is not None:
                return Deferred(Wait.CIRCUIT_OPEN, f"circuit {route.circuit} is open", wait_s)
        if route.rate is None or await route.rate.take():
            return None
        return _used_up(route, None)

    async def turn(self, route: Route, *, urgent: bool) -> Deferred | None:
        """The same for one that was not admitted because its rate was used up: it waits for a moment."""
        wait_s = await route.rate.turn(urgent=urgent) if route.rate is not None else None
        return None if wait_s is None else _used_up(route, wait_s)

    async def went(self, route: Route, failure: Failure | None) -> None:
        """How it went: None, or what it failed with."""
        if self._circuits is None:
            return
        trip = None if failure is None else getattr(failure, "trip", Trip.NO)
        if trip is not None or not self._circuits.is_untroubled(route.circuit):
            asked_s = failure.after_s if isinstance(failure, RetryLater) and trip is Trip.NOW else None
            reason = failure.reason if failure else ""
            await self._circuits.record(route.circuit, trip, reason, after_s=asked_s)

    async def faults(self, *, within_s: float) -> dict[str, str]:
        """What is wrong with each that has a fault, by its name: a fresh connection, a login and a NOOP."""
        deadline = asyncio.get_running_loop().time() + within_s
        said = await asyncio.gather(*(_fault_of(route, deadline) for route in self._all))
        return {route.name: fault for route, fault in zip(self._all, said, strict=True) if fault}

    async def close(self) -> None:
        for route in self._all:
            await route.connections.close()


def open_routes(
    settings: EmailSettings, *, clock: Clock, circuits: Circuits | None, pool: Pool | None = None
) -> Routes:
    """As the settings have them. Errors: `SettingsInvalid`."""
    hostname = Senders(settings).of("").address.domain
    return Routes(settings, hostname=hostname, clock=clock, circuits=circuits, pool=pool)


async def _fault_of(route: Route, deadline: float) -> str | None:
    try:
        session = await route.connections.open(deadline)
        try:
            async with step(Phase.LOGIN, deadline):
                await session.command(b"NOOP")
        finally:
            session.close()
    except SmtpFailed as failed:
        outcome = outcome_of(failed.error, failed.phase)
        return f"{route.name + ': ' if route.name else ''}{outcome.reason} ({outcome.detail})"
    return None


def _used_up(route: Route, wait_s: float | None) -> Deferred:
    return Deferred(Wait.DESTINATION_FULL, f"{setting_of(route.name, 'PER_SECOND')} is used up", wait_s)


def setting_of(name: str, field: str = "URL") -> str:
    return f"POSTROOM_EMAIL__ROUTES__{name.upper()}__{field}" if name else f"POSTROOM_EMAIL__{field}"


def may_take_another(failure: Failure) -> bool:
    """The server has not taken it, which is `Unknown` where nobody knows; and neither the recipients nor the
    mail are to blame."""
    return isinstance(failure, RetryLater) and failure.trip is not Trip.NO


def _draw(message_id: UUID, route: Route) -> float:
    """The smallest of all is the first: exponential draws at the rate of the weights (rendezvous hashing)."""
    digest = sha256(message_id.bytes + route.name.encode()).digest()
    return -math.log((int.from_bytes(digest[:8], "big") + 1) / 2**64) / route.settings.weight
