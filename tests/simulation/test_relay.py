"""A relay under any sequence of pauses, faults within batches, ages and load of all urgencies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from postroom.outbox.lanes import Urgency
from postroom.postgres.database import create_database
from tests.conftest import on_database
from tests.simulation.relay import BACKOFF, RETRY_S, Fault, RelayOnPostgres

SETTINGS = settings(
    max_examples=25,
    stateful_step_count=15,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
NEVER = float("inf")
SLACK_S = 20.0
"""Real time that an example may take; every limit is further from every moment than that."""
LOAD = 100
STARTED = 200


@dataclass(slots=True)
class Waiting:
    """One open delivery, by the time of the model."""

    fault: Fault
    expires_at: float
    due_at: float
    attempts: int = 0


class RelayMachine(RuleBasedStateMachine):
    """What is due ends as its own fault, or age, wants it; whatever its neighbours do."""

    dsn = ""

    def __init__(self) -> None:
        super().__init__()
        self.relay = RelayOnPostgres(self.dsn)
        self.now = 0.0
        self.names = 0
        self.paused = False
        self.open: dict[str, Waiting] = {}
        self.dead: dict[str, str] = {}
        self.delivered: set[str] = set()

    def teardown(self) -> None:
        self.relay.close()

    def _publish(self, fault: Fault, urgency: Urgency, count: int, expires_in_s: float | None) -> None:
        keys = [f"k{self.names + n}" for n in range(count)]
        self.names += count
        self.relay.adapter.faults |= dict.fromkeys(keys, fault)
        self.relay.publish(keys, urgency=urgency, expires_in_s=expires_in_s)
        ends = NEVER if expires_in_s is None else self.now + expires_in_s
        self.open |= {key: Waiting(fault, ends, self.now) for key in keys}

    @rule(
        fault=st.sampled_from([Fault.NONE, *Fault]),
        urgency=st.sampled_from(Urgency),
        count=st.integers(1, 4),
        expires_in_s=st.sampled_from([None, None, 100.0, 1_000.0]),
    )
    def publish(self, fault: Fault, urgency: Urgency, count: int, expires_in_s: float | None) -> None:
        self._publish(fault, urgency, count, expires_in_s)

    @rule(seconds=st.sampled_from([200.0, RETRY_S + SLACK_S]))
    def travel(self, seconds: float) -> None:
        self.relay.travel(seconds)
        self.now += seconds

    @precondition(lambda self: not self.paused)
    @rule()
    def pause(self) -> None:
        self.relay.pause()
        self.paused = True

    @precondition(lambda self: self.paused)
    @rule()
    def resume(self) -> None:
        """All that waited goes out."""
        self.relay.resume()
        self.paused = False
        self.drain()

    @rule()
    def drain(self) -> None:
        """What is due is answered once each; what is past its time is not even tried."""
        due = {key: each for key, each in self.open.items() if each.due_at <= self.now and not self.paused}
        tried = {claim.key for claim in self.relay.drain()}
        assert tried == {key for key, each in due.items() if each.expires_at > self.now}
        for key in due:
            self._end(key)
        self._check()

    @rule()
    def try_again(self) -> None:
        """Twice in a row it is the last attempt of what fails."""
        self.travel(RETRY_S + SLACK_S)
        self.drain()

    @precondition(lambda self: not self.paused)
    @rule()
    def every_lane_goes_on_under_load(self) -> None:
        for urgency in Urgency:
            self._publish(Fault.NONE, urgency, LOAD, None)
        started = {claim.state for claim in self.relay.work(STARTED)}
        assert {"pending_urgent", "pending", "pending_bulk"} <= started, "a lane starves"
        self.drain_rest()

    def drain_rest(self) -> None:
        """To the end; what of it was tried already is not told."""
        self.relay.drain()
        for key in [key for key, each in self.open.items() if each.due_at <= self.now]:
            self._end(key)
        self._check()

    def _end(self, key: str) -> None:
        each = self.open[key]
        if each.expires_at <= self.now:
            self._die(key, "expired")
        elif each.fault is Fault.NONE:
            del self.open[key]
            self.delivered.add(key)
        elif each.fault is Fault.REFUSED or each.attempts + 1 == BACKOFF.attempts_max:
            self._die(key, "ours")
        elif each.expires_at <= self.now + RETRY_S:
            self._die(key, "expired")
        else:
            each.attempts, each.due_at = each.attempts + 1, self.now + RETRY_S

    def _die(self, key: str, cause: str) -> None:
        del self.open[key]
        self.dead[key] = cause

    def _check(self) -> None:
        assert self.relay.open() == {key: each.attempts for key, each in self.open.items()}
        assert self.relay.dead() == self.dead
        assert self.relay.delivered() == dict.fromkeys(self.delivered, 1)
        assert sorted(self.relay.adapter.answered) == sorted(self.delivered), "sent twice, or after its end"


@pytest.mark.timeout(400)
def test_a_relay_does_what_the_model_says(server_dsn: str, template: str) -> None:
    name = f"simulation_{uuid4().hex[:12]}"
    asyncio.run(create_database(server_dsn, name, template=template))
    RelayMachine.dsn = on_database(server_dsn, name)
    run_state_machine_as_test(RelayMachine, settings=SETTINGS)
