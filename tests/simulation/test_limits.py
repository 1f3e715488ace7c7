"""Limits under any sequence of what several workers may ask, start, end and die of, with a driven clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from postroom.base.db import Pool, open_pool, transaction
from postroom.outbox.limits import PILE_S, LimitKey, Wanted, lease, set_limit
from postroom.postgres.database import create_database
from tests.conftest import on_database

Value = TypeVar("Value")
WORKERS = 3
SETTINGS = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
NEW_WORKER = (
    "insert into postroom.worker (host, pid, role, version) values ('h', 1, 'test', '1') returning id"
)


class LimitMachine(RuleBasedStateMachine):
    """Every worker starts all that it is given, at once, and ends it when a rule says so."""

    dsn = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.pool: Pool = self.run(open_pool(self.dsn, connections_max=2))
        for table in ("delivery_limit", "limit_place"):
            self.run(self.pool.execute(f"delete from postroom.{table}"))
        self.ahead_s = 0.0
        self.starts: list[tuple[float, int]] = []
        self.rates: list[float] = []
        self.workers = [self.born() for _ in range(WORKERS)]
        self.in_flight = dict.fromkeys(self.workers, 0)
        self.most = 0
        self.limit(20.0, 5)

    def teardown(self) -> None:
        self.run(self.pool.close())
        self.loop.close()

    def run(self, step: Coroutine[Any, Any, Value]) -> Value:
        return self.loop.run_until_complete(asyncio.wait_for(step, 60))

    def born(self) -> int:
        worker: int = self.run(self.pool.fetchval(NEW_WORKER))
        return worker

    def now(self) -> float:
        return time.monotonic() + self.ahead_s

    def limit(self, per_second: float, in_flight: int) -> None:
        async def change() -> int:
            async with transaction(self.pool) as conn:
                await set_limit(
                    conn,
                    LimitKey("email"),
                    per_second=per_second,
                    in_flight=in_flight,
                    reason="simulated",
                    set_by="test",
                )
                limit_id: int = await conn.fetchval("select id from postroom.delivery_limit")
                return limit_id

        self.limit_id = self.run(change())
        self.per_second, self.allowed = per_second, in_flight
        self.most = max(in_flight, sum(self.in_flight.values()))
        self.starts = [(self.now(), 0)]  # the promise is one of a limit that stays as it is

    @rule(place=st.integers(0, WORKERS - 1), wanted=st.integers(0, 8))
    def work(self, place: int, wanted: int) -> None:
        """What a relay does: it asks for what it would start, and starts what it was given of both."""
        worker = self.workers[place]
        used = self.in_flight[worker]

        async def ask() -> tuple[int, int]:
            async with transaction(self.pool) as conn:
                asked = Wanted(self.limit_id, wanted, used + wanted, used)
                [given] = await lease(conn, worker=worker, wanted=[asked])
            return given.starts, given.places

        starts, places = self.run(ask())
        assert starts <= wanted
        count = max(0, min(starts, places - used))
        self.in_flight[worker] += count
        self.starts.append((self.now(), starts))

    @rule(place=st.integers(0, WORKERS - 1), part=st.sampled_from([1, 2]))
    def end(self, place: int, part: int) -> None:
        worker = self.workers[place]
        self.in_flight[worker] //= part
        if part == 1:
            self.in_flight[worker] = 0
        self.most = max(self.allowed, sum(self.in_flight.values()))

    @rule(place=st.integers(0, WORKERS - 1))
    def die(self, place: int) -> None:
        """Buried: what it had in flight is over, and its places return."""
        worker = self.workers[place]
        self.run(self.pool.execute("delete from postroom.worker where id = $1", worker))
        del self.in_flight[worker]
        self.workers[place] = self.born()
        self.in_flight[self.workers[place]] = 0
        self.most = max(self.allowed, sum(self.in_flight.values()))

    @rule(per_second=st.sampled_from([0.5, 7.0, 100.0]), in_flight=st.sampled_from([1, 3, 10]))
    def change(self, per_second: float, in_flight: int) -> None:
        self.limit(per_second, in_flight)

    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0, 60.0]))
    def travel(self, seconds: float) -> None:
        moved = "update postroom.delivery_limit set spent_to = spent_to - make_interval(secs => $1)"
        self.run(self.pool.execute(moved, seconds))
        self.ahead_s += seconds

    @invariant()
    def never_more_in_flight(self) -> None:
        """Where the limit was lowered below what was in flight, that may end, and nothing else may start."""
        assert sum(self.in_flight.values()) <= self.most

    @invariant()
    def never_more_starts(self) -> None:
        piled_up = max(self.per_second * PILE_S, 2)
        for first, (began, _) in enumerate(self.starts):
            count = sum(starts for _, starts in self.starts[first + 1 :])
            assert count <= self.per_second * (self.starts[-1][0] - began) + piled_up + 1e-3


@pytest.mark.timeout(300)
def test_no_sequence_of_steps_exceeds_a_limit(server_dsn: str, template: str) -> None:
    name = f"simulation_{uuid4().hex[:12]}"
    asyncio.run(create_database(server_dsn, name, template=template))
    LimitMachine.dsn = on_database(server_dsn, name)
    run_state_machine_as_test(LimitMachine, settings=SETTINGS)
