"""The engine's state machine without a database: what the ledger must do, in plain Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from postroom.outbox.lanes import LANES, Urgency
from postroom.outbox.model import Cause, Outcome
from postroom.outbox.policy import EXPIRED, Settlement, Verdict, settle, within
from postroom.resilience.backoff import Backoff

Key = str
NEVER = float("inf")


@dataclass(slots=True)
class Delivery:
    """One open delivery. `worker` and `claim_no` are the fence."""

    key: Key
    seq: int
    ordering_key: str | None
    due_at: float
    urgency: Urgency
    retried: bool = False
    attempts: int = 0
    claim_no: int = 0
    worker: int | None = None
    expires_at: float = NEVER
    tenant: str = ""
    expired: bool = False

    @property
    def state(self) -> str:
        lane = LANES[self.urgency]
        return lane.retry if self.retried else lane.first


@dataclass(frozen=True, slots=True)
class Held:
    """What a worker remembers of a claim."""

    key: Key
    worker: int
    claim_no: int
    attempts: int
    left_s: float = field(default=NEVER, compare=False)

    def ends(self, outcome: Outcome, backoff: Backoff) -> Settlement:
        """What a relay makes of an outcome; what is past its time is not even tried."""
        if self.left_s <= 0:
            return EXPIRED
        return within(settle(outcome, attempts=self.attempts, backoff=backoff, jitter=0.5), self.left_s)


@dataclass(slots=True)
class Ledger:
    """Time is a number of seconds that a test moves."""

    backoff: Backoff
    now: float = 0.0
    open: dict[Key, Delivery] = field(default_factory=dict)
    dead: dict[Key, Delivery] = field(default_factory=dict)
    published: int = 0
    delivered: int = 0
    cancelled: int = 0
    expired: int = 0
    beats: dict[int, float] = field(default_factory=dict)
    delivered_keys: list[Key] = field(default_factory=list)

    def publish(
        self,
        key: Key,
        *,
        ordering_key: str | None,
        due_in_s: float,
        expires_in_s: float = NEVER,
        urgency: Urgency = Urgency.NORMAL,
        tenant: str = "",
    ) -> None:
        self.published += 1
        due_at, expires_at = self.now + due_in_s, self.now + expires_in_s
        self.open[key] = Delivery(
            key, self.published, ordering_key, due_at, urgency, expires_at=expires_at, tenant=tenant
        )

    def claimable(self) -> list[Delivery]:
        return [
            each
            for each in self.open.values()
            if each.worker is None and each.due_at <= self.now and not self._waits_for_another(each)
        ]

    def claim(self, worker: int, keys: Iterable[Key]) -> list[Held]:
        """Claim exactly these; they must be claimable."""
        allowed = {each.key for each in self.claimable()}
        held = []
        for key in keys:
            assert key in allowed, f"{key} was claimed though it is not due, is held, or waits for another"
            delivery = self.open[key]
            delivery.worker, delivery.claim_no = worker, delivery.claim_no + 1
            left_s = delivery.expires_at - self.now
            held.append(Held(key, worker, delivery.claim_no, delivery.attempts, left_s))
        return held

    def settle(self, held: Held, outcome: Outcome) -> tuple[bool, Settlement]:
        """Returns: whether the claim was still held, and what was to be written."""
        settlement = held.ends(outcome, self.backoff)
        delivery = self.open.get(held.key)
        if delivery is None or (delivery.worker, delivery.claim_no) != (held.worker, held.claim_no):
            return False, settlement
        match settlement.verdict:
            case Verdict.DELIVERED:
                self.delivered += 1
                self.delivered_keys.append(self.open.pop(held.key).key)
            case Verdict.DEAD:
                delivery.attempts += settlement is not EXPIRED
                self._bury(delivery, expired=settlement.cause is Cause.EXPIRED)
            case Verdict.RETRY:
                delivery.retried, delivery.attempts = True, delivery.attempts + 1
                self._put_back(delivery, settlement.delay_s)
            case Verdict.DEFERRED:
                self._put_back(delivery, settlement.delay_s)
        return True, settlement

    def rescue(self, *, worker: int, ttl_s: float) -> int:
        """Free what workers without a beat, or unknown by now, hold; none of it was surely started."""
        living = {each for each, beat in self.beats.items() if beat >= self.now - ttl_s}
        freed = 0
        for delivery in list(self.open.values()):
            if delivery.worker is not None and delivery.worker not in living:
                delivery.worker = None
                freed += 1
        self.beats = {each: beat for each, beat in self.beats.items() if each in living}
        return freed

    def sweep(self) -> int:
        """End what is past its time and held by nobody."""
        late = [each for each in self.open.values() if each.worker is None and each.expires_at <= self.now]
        for delivery in late:
            self._bury(delivery, expired=True)
        return len(late)

    def replay(self, key: Key) -> bool:
        letter = self.dead.pop(key, None)
        if letter is None:
            return False
        self.open[key] = Delivery(
            key, letter.seq, letter.ordering_key, self.now, letter.urgency, tenant=letter.tenant
        )
        return True

    def cancel(self, key: Key) -> bool:
        delivery = self.open.get(key)
        if delivery is None or delivery.worker is not None:
            return False
        del self.open[key]
        self.cancelled += 1
        return True

    def check(self) -> None:
        """Conservation, and nothing delivered twice without a replay in between."""
        assert self.published == self.delivered + len(self.open) + len(self.dead) + self.cancelled
        assert not self.open.keys() & self.dead.keys()
        assert len(self.delivered_keys) == len(set(self.delivered_keys)), "one delivery ended twice"
        for delivery in self.open.values():
            assert delivery.retried or delivery.attempts == 0
            assert delivery.attempts < self.backoff.attempts_max

    def _bury(self, delivery: Delivery, *, expired: bool) -> None:
        self.dead[delivery.key] = self.open.pop(delivery.key)
        delivery.expired = expired
        self.expired += expired

    def _put_back(self, delivery: Delivery, delay_s: float) -> None:
        delivery.worker = None
        delivery.due_at = self.now + delay_s

    def _waits_for_another(self, delivery: Delivery) -> bool:
        return delivery.ordering_key is not None and any(
            (each.tenant, each.ordering_key) == (delivery.tenant, delivery.ordering_key)
            and each.seq < delivery.seq
            for each in self.open.values()
        )
