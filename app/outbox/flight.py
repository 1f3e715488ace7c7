"""What one relay has under way: its places, shared fairly between destinations."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from typing import Final

from app.base.clock import Clock
from app.outbox.attempts import Attempts
from app.outbox.model import Adapter, Answer, BatchAdapter, Claim, Deferred, Outcome, Settled, Unknown, Wait
from app.outbox.policy import settle
from app.outbox.settler import Settler
from app.resilience.backoff import Backoff

LAND_WITHIN_S: Final = 20.0
STUCK_S: Final = 1.0


class Flight:
    """Claims between the moment they are taken and the moment they are settled.

    Promise: at most `places_max` are held. A destination that has its share of them (a quarter, or what
    it may have in flight if that is more) is named as full, so that the next claim leaves it alone.
    """

    def __init__(
        self, *, adapter: Adapter, attempts: Attempts, backoff: Backoff, clock: Clock, settler: Settler
    ) -> None:
        batch_max = adapter.batch_max if isinstance(adapter, BatchAdapter) else 1
        self.places_max = adapter.concurrency_max
        self._batch_max = batch_max
        self._destination_max = adapter.per_destination_max
        self._share_max = max(self._destination_max, self.places_max // 4)
        self._claim_max = max(1, self._batch_max, self.places_max // 4)
        self._attempts = attempts
        self._backoff = backoff
        self._clock = clock
        self._settler = settler
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, deque[Claim]] = defaultdict(deque)
        self._flying: Counter[str] = Counter()
        self._lanes: Counter[str] = Counter()
        self._full_since: dict[str, float] = {}
        self._held = 0
        self._settled_elsewhere = 0

    @property
    def places_taken(self) -> int:
        return self._held + self._settler.unsettled

    @property
    def places_free(self) -> int:
        """What the next claim may take: never so much that one destination could get it all."""
        return max(0, min(self._claim_max, self.places_max - self.places_taken))

    @property
    def has_room(self) -> bool:
        """Whether claiming is worth a query: small claims are what makes a busy queue slow."""
        return self.places_free >= self._claim_max

    def full_destinations(self) -> list[str]:
        """Those that have their share of the places already."""
        full = [name for name in self._waiting if self._taken_by(name) >= self._share_max]
        now = self._clock.monotonic()
        self._full_since = {name: self._full_since.get(name, now) for name in full}
        return full

    def stuck_destinations(self) -> list[str]:
        """Those that have been full for so long that the others must not wait for them."""
        now = self._clock.monotonic()
        return [name for name, since in self._full_since.items() if now - since >= STUCK_S]

    def _taken_by(self, name: str) -> int:
        return len(self._waiting[name]) + self._flying[name]

    @property
    def done_count(self) -> int:
        """Deliveries that this flight has brought to an end or put off."""
        return self._settler.settled_count + self._settled_elsewhere

    def start(self, claims: Sequence[Claim]) -> None:
        """Queue claims by destination and send off what may go."""
        names = dict.fromkeys(claim.destination for claim in claims)
        for claim in claims:
            self._waiting[claim.destination].append(claim)
        self._held += len(claims)
        for name in names:
            self._send_off(name)

    async def land(self) -> None:
        """Hand back what only waited, let what is at the adapter end, wait until all is settled."""
        for queue in self._waiting.values():
            while queue:
                self._held -= 1
                self._settle(queue.popleft(), Deferred(Wait.DESTINATION_FULL, "handed back", 0.0), 0)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=LAND_WITHIN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        while self._settler.unsettled:
            await self._settler.freed()

    def _send_off(self, name: str) -> None:
        """Open one more lane to a destination, if it may have one and something waits."""
        lanes = self._lanes[name]
        if not self._waiting[name]:
            if not lanes:
                del self._waiting[name], self._lanes[name], self._flying[name]
            return
        if lanes * self._batch_max >= self._destination_max:
            return
        self._lanes[name] += 1
        task = asyncio.create_task(self._lane(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lane(self, name: str) -> None:
        """Deliver one batch after the other until nothing waits for this destination.

        Each lane opens the next one before it waits for the receiver, so that a quick receiver is
        served by few lanes and a slow one soon has as many as it may.
        """
        queue = self._waiting[name]
        opened_next = False
        try:
            while queue:
                batch = [queue.popleft() for _ in range(min(len(queue), self._batch_max))]
                if queue and not opened_next:
                    opened_next = True
                    self._send_off(name)
                await self._deliver(name, batch)
        finally:
            self._lanes[name] -= 1
            self._send_off(name)

    async def _deliver(self, name: str, batch: Sequence[Claim]) -> None:
        self._flying[name] += len(batch)
        started = self._clock.monotonic()
        answers: Sequence[Answer] = [Unknown("cut off while it was being delivered")] * len(batch)
        try:
            answers = await self._attempts.batch(batch)
        finally:
            duration_ms = int((self._clock.monotonic() - started) * 1000)
            self._flying[name] -= len(batch)
            self._held -= len(batch)
            for claim, answer in zip(batch, answers, strict=True):
                if isinstance(answer, Settled):
                    self._settled_elsewhere += 1
                    self._settler.free_place()
                else:
                    self._settle(claim, answer, duration_ms)

    def _settle(self, claim: Claim, outcome: Outcome, duration_ms: int) -> None:
        jitter = random.random()  # noqa: S311  jitter, not a secret
        settlement = settle(outcome, attempts=claim.attempts, backoff=self._backoff, jitter=jitter)
        self._settler.hand_in(claim, settlement, duration_ms)
