"""Breakers are one truth for all processes."""

from __future__ import annotations

import pytest

from postroom.base.db import Pool, transaction
from postroom.resilience import store
from postroom.resilience.breaker import BreakerPolicy, CircuitState, Trip
from postroom.resilience.circuits import ASKED_MAX_S, REFRESH_S, Circuits
from tests.fixtures.clock import DrivenClock
from tests.fixtures.roles import pool_as

POLICY = BreakerPolicy(strikes_max=3, open_s=10, open_max_s=40)


class Processes:
    """Two processes that share a database, and time that both are told of."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.clock = DrivenClock()
        self.one = Circuits(pool=pool_as(pool, "runner"), clock=self.clock, worker=1, policy=POLICY)
        self.two = Circuits(pool=pool_as(pool, "runner"), clock=self.clock, worker=2, policy=POLICY)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        async with transaction(self.pool) as conn:
            await conn.execute(
                "update postroom.circuit set retry_at = retry_at - make_interval(secs => $1)", seconds
            )

    async def state(self, name: str = "email") -> CircuitState:
        async with self.pool.acquire() as conn:
            return next(c.state for c in await store.list_circuits(conn) if c.name == name)


@pytest.fixture
def processes(pool: Pool) -> Processes:
    return Processes(pool)


async def test_strikes_in_a_row_open_it_for_every_process(processes: Processes) -> None:
    for _ in range(3):
        assert await processes.one.admit("email") is None
        await processes.one.record("email", Trip.STRIKE, "connection refused")
    assert await processes.state() is CircuitState.OPEN
    await processes.pass_time(REFRESH_S)
    assert (await processes.two.admit("email") or 0) > 5


async def test_a_success_between_strikes_starts_the_count_anew(processes: Processes) -> None:
    for trip in (Trip.STRIKE, Trip.STRIKE, None, Trip.STRIKE, Trip.STRIKE, Trip.NO, Trip.STRIKE):
        await processes.one.record("email", trip)
    assert await processes.state() is CircuitState.CLOSED


async def test_one_trial_at_a_time_and_its_success_closes(processes: Processes) -> None:
    await processes.one.record("email", Trip.NOW, "login refused")
    await processes.pass_time(11)
    assert await processes.one.admit("email") is None
    assert await processes.one.admit("email") is not None
    assert await processes.two.admit("email") is not None
    assert await processes.state() is CircuitState.HALF_OPEN
    await processes.two.record("email", None)
    assert await processes.state() is CircuitState.HALF_OPEN, "only the trial's own success closes it"
    await processes.one.record("email", None)
    assert await processes.state() is CircuitState.CLOSED
    await processes.pass_time(REFRESH_S)
    assert await processes.two.admit("email") is None


async def test_a_failed_trial_opens_it_for_twice_as_long(processes: Processes) -> None:
    await processes.one.record("email", Trip.NOW, "login refused")
    await processes.pass_time(11)
    assert await processes.one.admit("email") is None
    await processes.one.record("email", Trip.STRIKE, "login refused")
    await processes.pass_time(REFRESH_S)
    assert 15 < (await processes.two.admit("email") or 0) <= 20


async def test_it_stays_open_for_as_long_as_the_destination_asked(processes: Processes) -> None:
    await processes.one.record("webhook:a", Trip.NOW, "answered 429", after_s=2)
    assert 1 < (await processes.one.admit("webhook:a") or 0) <= 2
    await processes.pass_time(3)
    assert await processes.one.admit("webhook:a") is None
    await processes.one.record("webhook:a", Trip.NOW, "answered 429", after_s=2)
    assert 3 < (await processes.one.admit("webhook:a") or 0) <= 4, "asked again in vain: twice as long"
    await processes.one.record("webhook:b", Trip.NOW, "answered 429", after_s=600)
    assert 500 < (await processes.one.admit("webhook:b") or 0) <= 600
    await processes.one.record("webhook:c", Trip.NOW, "answered 429", after_s=86_400)
    assert (await processes.one.admit("webhook:c") or 0) <= ASKED_MAX_S, "a host has many receivers"


async def test_a_trial_whose_process_died_is_given_to_another(processes: Processes) -> None:
    await processes.one.record("email", Trip.NOW, "x")
    await processes.pass_time(11)
    assert await processes.one.admit("email") is None
    await processes.pass_time(POLICY.probe_s + 1)
    assert await processes.two.admit("email") is None


async def test_a_trial_that_nobody_told_the_end_of_does_not_bar_its_process_for_good(
    processes: Processes,
) -> None:
    """A request was cancelled, or failed as nobody foresaw: with one process there is nobody else to try."""
    await processes.one.record("stripe", Trip.NOW, "HTTP 503")
    await processes.pass_time(11)
    assert await processes.one.admit("stripe") is None
    await processes.pass_time(POLICY.probe_s - 1)
    assert await processes.one.admit("stripe") is not None
    await processes.pass_time(2)
    assert await processes.one.admit("stripe") is None
    await processes.one.record("stripe", None)
    assert await processes.state("stripe") is CircuitState.CLOSED


async def test_a_forced_breaker_stays_as_it_was_forced(processes: Processes) -> None:
    async with transaction(processes.pool) as conn:
        await store.mark_forced(conn, name="email", state=CircuitState.OPEN, reason="maintenance")
    await processes.pass_time(10_000)
    assert await processes.one.admit("email") is not None
    async with transaction(processes.pool) as conn:
        await store.mark_forced(conn, name="email", state=None, reason="done")
    await processes.pass_time(REFRESH_S)
    assert await processes.one.admit("email") is None


async def test_a_breaker_that_nobody_tries_is_forgotten_after_a_day(processes: Processes) -> None:
    """All that waited for it has expired; an alert about it would go on for ever."""
    for name in ("webhook:a", "email"):
        await processes.one.record(name, Trip.NOW, "refused")
    for hours, kept in ((23, {"webhook:a", "email"}), (2, {"email"})):
        await processes.pass_time(hours * 3_600)
        async with transaction(processes.pool) as conn:
            await store.prune_circuits(conn)
        open_now = {each.name for each in await processes.one.listed() if each.state is CircuitState.OPEN}
        assert open_now == kept


async def test_openings_of_stripe_are_counted(processes: Processes) -> None:
    await processes.one.record("stripe", Trip.NOW, "500")
    await processes.one.record("stripe", Trip.NOW, "500")
    counted = await processes.pool.fetchval(
        "select value from postroom.tally where name = 'circuit_open' and label = 'stripe'"
    )
    assert counted == 1
