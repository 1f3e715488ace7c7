"""The rules by which hypothesis drives the engine: each rule is a step that any process may take next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from postroom.outbox.lanes import Urgency
from postroom.outbox.model import (
    Cause,
    Deferred,
    Delivered,
    Outcome,
    Rejected,
    RetryLater,
    Suppressed,
    Unknown,
    Wait,
)
from postroom.resilience.backoff import Exponential
from tests.simulation.model import NEVER, Held, Key, Ledger

BACKOFF: Final = Exponential(attempts_max=3, base_s=60)
TTL_S: Final = 10.0
WORKERS: Final = 3
SLACK_S: Final = 5.0
"""By so much the clocks of the model, which stands still within a rule, and of the database may differ."""

OUTCOMES: Final[tuple[Outcome, ...]] = (
    Delivered(),
    Delivered(code="200", detail="thanks"),
    RetryLater("busy"),
    RetryLater("busy", after_s=30),
    RetryLater("login refused", cause=Cause.OURS),
    Unknown("no answer after DATA"),
    Rejected("mailbox unknown", code="550"),
    Suppressed("asked not to be written to"),
    Deferred(Wait.CIRCUIT_OPEN, "open"),
    Deferred(Wait.DESTINATION_FULL, "full"),
    Deferred(Wait.PARKED, "parked"),
)


class Store(Protocol):
    """What a machine drives beside the model."""

    def register(self) -> int: ...
    def publish(
        self,
        key: Key,
        *,
        ordering_key: str | None,
        due_in_s: float,
        expires_in_s: float,
        urgency: Urgency,
        tenant: str,
    ) -> None: ...
    def sweep(self, worker: int) -> int: ...
    def claim(self, worker: int, limit: int, around: Sequence[str]) -> Sequence[Held]: ...
    def settle(self, ended: Sequence[tuple[Held, Outcome]]) -> set[Key]: ...
    def beat(self, worker: int) -> bool: ...
    def rescue(self, worker: int) -> int: ...
    def replay(self, key: Key) -> bool: ...
    def cancel(self, key: Key) -> bool: ...
    def resume(self) -> None: ...
    def travel(self, seconds: float) -> None: ...
    def check(self, ledger: Ledger) -> None: ...


class EngineMachine(RuleBasedStateMachine):
    """Every process may do any next step; the store, where there is one, must agree with the model."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(BACKOFF)
        self.held: list[Held] = []
        self.names = 0
        self.last_worker = 0
        self.store = self.make_store()
        self.workers = [self._registered() for _ in range(WORKERS)]

    def make_store(self) -> Store | None:
        """None: the model alone."""
        return None

    def _registered(self) -> int:
        self.last_worker = self.store.register() if self.store else self.last_worker + 1
        worker = self.last_worker
        self.ledger.beats[worker] = self.ledger.now
        return worker

    @initialize(ordering_keys=st.lists(st.sampled_from([None, None, "a", "b"]), min_size=4, max_size=8))
    def begin(self, ordering_keys: list[str | None]) -> None:
        for ordering_key in ordering_keys:
            self.publish(ordering_key, 0.0, NEVER, Urgency.NORMAL, "a")

    @rule(
        ordering_key=st.sampled_from([None, None, "a", "b"]),
        due_in_s=st.sampled_from([0.0, 0.0, 0.0, 100.0]),
        expires_in_s=st.sampled_from([NEVER, NEVER, 40.3, 200.3]),
        urgency=st.sampled_from([Urgency.NORMAL, *Urgency]),
        tenant=st.sampled_from(["a", "b", ""]),
    )
    def publish(
        self, ordering_key: str | None, due_in_s: float, expires_in_s: float, urgency: Urgency, tenant: str
    ) -> None:
        self.names += 1
        key = f"k{self.names}"
        wanted: Any = {
            "ordering_key": ordering_key,
            "due_in_s": due_in_s,
            "expires_in_s": expires_in_s,
            "urgency": urgency,
            "tenant": tenant,
        }
        if self.store:
            self.store.publish(key, **wanted)
        self.ledger.publish(key, **wanted)

    @rule(
        place=st.integers(0, WORKERS - 1),
        limit=st.integers(1, 4),
        around=st.sampled_from([(), (), ("a",), ("a", "")]),
    )
    def claim(self, place: int, limit: int, around: Sequence[str] = ()) -> None:
        """`around`: tenants to leave alone."""
        worker = self.workers[place]
        claimable = [each for each in self.ledger.claimable() if each.tenant not in around]
        if self.store is None:
            self.held += self.ledger.claim(worker, [each.key for each in claimable[:limit]])
            return
        claimed = self.store.claim(worker, limit, around)
        assert {held.key for held in claimed} <= {each.key for each in claimable}
        assert len(claimed) >= min(1, len(claimable)), "something was due and nothing was claimed"
        expected = self.ledger.claim(worker, [held.key for held in claimed])
        assert list(claimed) == expected
        for real, model in zip(claimed, expected, strict=True):
            assert real.left_s == model.left_s or abs(real.left_s - model.left_s) < SLACK_S
        self.held += claimed

    @rule(place=st.integers(0, WORKERS - 1), outcome=st.sampled_from(OUTCOMES), left=st.integers(0, 2))
    def work(self, place: int, outcome: Outcome, left: int) -> None:
        """What a relay does: claim, and settle but for the last `left`, which stay under way."""
        before = len(self.held)
        self.claim(place, 4)
        ended = self.held[before : len(self.held) - left]
        if ended:
            self._settle([(held, outcome) for held in ended], again=False)

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=3),
        again=st.booleans(),
    )
    def settle(self, data: st.DataObject, outcomes: list[Outcome], again: bool) -> None:
        """One batch; `again`: the answer to the commit was lost, so the same is written once more."""
        chosen = data.draw(st.lists(st.sampled_from(self.held), min_size=1, max_size=3, unique=True))
        chosen = list({held.key: held for held in chosen}.values())
        self._settle([(held, outcomes[n % len(outcomes)]) for n, held in enumerate(chosen)], again=again)

    def _settle(self, ended: list[tuple[Held, Outcome]], *, again: bool) -> None:
        expected = {held.key for held, outcome in ended if self.ledger.settle(held, outcome)[0]}
        assert not any(self.ledger.settle(held, outcome)[0] for held, outcome in ended)
        if self.store:
            assert self.store.settle(ended) == expected
            assert not (again and self.store.settle(ended)), "the same claim was settled twice"
        # With `again` it stays in a zombie's memory, which tries once more, later.
        done = [held for held, _ in ended]
        self.held = [held for held in self.held if held not in done or again]

    @rule(place=st.integers(0, WORKERS - 1))
    def beat(self, place: int) -> None:
        """A worker that was declared dead comes back under a new id; what it remembers is void."""
        worker = self.workers[place]
        alive = worker in self.ledger.beats
        assert self.store is None or self.store.beat(worker) is alive
        if alive:
            self.ledger.beats[worker] = self.ledger.now
        else:
            self.workers[place] = self._registered()

    @rule(place=st.integers(0, WORKERS - 1))
    def rescue(self, place: int) -> None:
        worker = self.workers[place]
        if worker in self.ledger.beats and self.ledger.beats[worker] >= self.ledger.now - TTL_S:
            freed = self.ledger.rescue(worker=worker, ttl_s=TTL_S)
            assert self.store is None or self.store.rescue(worker) == freed

    @rule(place=st.integers(0, WORKERS - 1))
    def sweep(self, place: int) -> None:
        swept = self.ledger.sweep()
        assert self.store is None or self.store.sweep(self.workers[place]) == swept

    @precondition(lambda self: self.ledger.dead)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.ledger.dead)))
        assert self.ledger.replay(key)
        if self.store:
            assert self.store.replay(key)
            assert not self.store.replay(key), "one letter was replayed twice"

    @precondition(lambda self: self.ledger.open)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.ledger.open)))
        cancelled = self.ledger.cancel(key)
        assert self.store is None or self.store.cancel(key) is cancelled

    @rule()
    def resume(self) -> None:
        """What is parked is due now."""
        if self.store:
            self.store.resume()
        for delivery in self.ledger.open.values():
            if delivery.due_at == float("inf") and delivery.worker is None:
                delivery.due_at = self.ledger.now

    @rule(seconds=st.sampled_from([1.0, 11.0, 45.0, 200.0, 90_000.0]))
    def travel(self, seconds: float) -> None:
        if self.store:
            self.store.travel(seconds)
        self.ledger.now += seconds

    @invariant()
    def adds_up(self) -> None:
        self.ledger.check()
        if self.store:
            self.store.check(self.ledger)
