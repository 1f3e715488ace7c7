"""Breakers as a process uses them: asked on every delivery, kept in the database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from postroom.base.clock import Clock
from postroom.base.db import DATABASE_FAILURES, Pool, transaction
from postroom.base.log import get_logger
from postroom.resilience import store
from postroom.resilience.breaker import BreakerPolicy, CircuitState, Trip
from postroom.resilience.store import Circuit

log = get_logger(__name__)

REFRESH_S: Final = 1.0
STRIKES_KEPT_MAX: Final = 10_000
ASKED_MAX_S: Final = 3_600.0
"""A destination may be a host of many receivers, so the wish of one of them holds it for an hour at most."""


class Circuits:
    """Every breaker, by name.

    Promise: what one process opens, the others see within `REFRESH_S`; while a breaker is open
    one trial at a time is let through, by one process. Reading costs a query a second, at most.
    """

    def __init__(self, *, pool: Pool, clock: Clock, worker: int, policy: BreakerPolicy | None = None) -> None:
        self._pool = pool
        self._clock = clock
        self._worker = worker
        self._policy = policy or BreakerPolicy()
        self._not_closed: dict[str, Circuit] = {}
        self._strikes: dict[str, int] = {}
        self._probing: dict[str, float] = {}  # trials of this process, each with when it counts as lost
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    def is_untroubled(self, name: str) -> bool:
        """Closed as of the last reading, which is fresh, and without a strike: nothing to ask or to tell."""
        return (
            name not in self._not_closed
            and name not in self._strikes
            and self._clock.monotonic() - self._read_at < REFRESH_S
        )

    async def not_yet(self, prefix: str) -> dict[str, float]:
        """Names behind `prefix` whose breaker lets nothing through for now, and for how many seconds more.

        Asks the database again, once a second at most, as long as one is known: who asks nothing else of
        them must hear, too, that a person has closed one.
        """
        if not self._not_closed:
            return {}
        await self._refresh()
        left = {
            name: self._left_s(each) for name, each in self._not_closed.items() if name.startswith(prefix)
        }
        return {
            name.removeprefix(prefix): max(left_s, REFRESH_S)
            for name, left_s in left.items()
            if left_s > 0 or self._not_closed[name].forced
        }

    async def admit(self, name: str) -> float | None:
        """None: go ahead. A number: do not; ask again after so many seconds.

        Whoever is let through while the breaker is not closed is its trial and must `record`; a trial that
        has not after `probe_s` is given up.
        """
        await self._refresh()
        circuit = self._not_closed.get(name)
        if circuit is None:
            return None
        left_s = self._left_s(circuit)
        if left_s > 0 or circuit.forced or self._probing.get(name, 0.0) > self._clock.monotonic():
            return max(left_s, REFRESH_S)
        if await self._claim_probe(name):
            log.info("circuit.half_open", circuit=name)
            return None
        await self._refresh(force=True)
        return REFRESH_S

    async def _claim_probe(self, name: str) -> bool:
        """Nobody else in this process may try meanwhile; nor is it remembered when the database fails."""
        self._probing[name] = self._clock.monotonic() + self._policy.probe_s
        claimed = False
        try:
            async with self._pool.acquire() as conn:
                claimed = await store.claim_probe(
                    conn, name=name, worker=self._worker, probe_s=self._policy.probe_s
                )
        finally:
            if not claimed:
                self._probing.pop(name, None)
        return claimed

    async def record(
        self, name: str, trip: Trip | None, reason: str = "", *, after_s: float | None = None
    ) -> None:
        """Say how it went: None for success, else what the failure says of the breaker.

        A database that is away is logged and not raised: what the destination answered counts more than what
        its breaker could not write down, and must not be lost with it.
        Trip.NO is a failure of the message, not of the destination: it answered. `after_s`: when the
        destination itself wants to be asked again; it replaces the first period, up to `ASKED_MAX_S`.
        """
        try:
            await self._record(name, trip, reason, after_s)
        except DATABASE_FAILURES as error:
            log.warning("circuit.not_recorded", circuit=name, error=repr(error))

    async def _record(self, name: str, trip: Trip | None, reason: str, after_s: float | None) -> None:
        if trip is None or trip is Trip.NO:
            self._strikes.pop(name, None)
            if name in self._probing:
                await self._close(name)
            return
        if len(self._strikes) >= STRIKES_KEPT_MAX:
            self._strikes.clear()
        strikes = self._strikes[name] = self._strikes.get(name, 0) + 1
        if name in self._probing or self._policy.trips(strikes, trip):
            await self._open(name, reason, after_s)

    async def listed(self) -> list[Circuit]:
        """All that are not closed and the two that are always shown, fresh from the database."""
        await self._refresh(force=True)
        async with self._pool.acquire() as conn:
            return await store.list_circuits(conn)

    async def _open(self, name: str, reason: str, after_s: float | None) -> None:
        self._probing.pop(name, None)
        self._strikes.pop(name, None)
        policy = self._policy
        if after_s is not None:
            open_s = min(after_s, ASKED_MAX_S)
            policy = replace(policy, open_s=open_s, open_max_s=max(policy.open_max_s, open_s))
        async with transaction(self._pool) as conn:
            opened = await store.mark_open(conn, name=name, reason=reason, policy=policy, worker=self._worker)
        if opened:
            log.warning("circuit.open", circuit=name, reason=reason)
        await self._refresh(force=True)

    async def _close(self, name: str) -> None:
        self._probing.pop(name, None)
        async with self._pool.acquire() as conn:
            if await store.mark_closed(conn, name=name, worker=self._worker):
                log.info("circuit.closed", circuit=name)
        await self._refresh(force=True)

    def _left_s(self, circuit: Circuit) -> float:
        if circuit.retry_in_s is None:
            return 0.0
        return circuit.retry_in_s - (self._clock.monotonic() - self._read_at)

    async def _refresh(self, *, force: bool = False) -> None:
        if not force and self._clock.monotonic() - self._read_at < REFRESH_S:
            return
        async with self._reading:
            if not force and self._clock.monotonic() - self._read_at < REFRESH_S:
                return
            async with self._pool.acquire() as conn:
                circuits = await store.list_circuits(conn)
            self._not_closed = {c.name: c for c in circuits if c.state is not CircuitState.CLOSED}
            self._read_at = self._clock.monotonic()
