"""What one relay has under way: its places, shared fairly between destinations."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from typing import Final

from postroom.base.clock import Clock
from postroom.outbox.engine.attempts import Attempts, worst_trip
from postroom.outbox.engine.destination import QUICK_S, SILENT_S, WIDTH_START, Destination
from postroom.outbox.engine.limiter import Limiter
from postroom.outbox.engine.settler import Settler
from postroom.outbox.lanes import BULK_STATES
from postroom.outbox.limits import Limit, Room
from postroom.outbox.model import (
    Adapter,
    Answer,
    BatchAdapter,
    Claim,
    Deferred,
    Outcome,
    Settled,
    Unknown,
    Wait,
)
from postroom.outbox.policy import EXPIRED, Verdict, left_s, settle, within
from postroom.resilience.backoff import Backoff

DRAIN_WITHIN_S: Final = 20.0
RESTED_MAX: Final = 1_000
SHED_S: Final = 2.0
"""What waited for a silent destination is put off for so long."""
_CUT_OFF: Final = Unknown("cut off while it was being delivered")  # made once: this is a hot path


class Dispatcher:
    """Claims between the moment they are taken and the moment they are settled.

    Promise: at most `places_max` are held. A destination that has its share of them (a quarter, or what
    it may have in flight if that is more; twice that where it answers at once) is named as full, so that the
    next claim leaves it alone. Where places are short, one that does not answer is left with what is under
    way to it (ADR 9).
    """

    def __init__(
        self,
        *,
        adapter: Adapter,
        attempts: Attempts,
        backoff: Backoff,
        clock: Clock,
        settler: Settler,
        limiter: Limiter,
        age_max_s: float,
        emptier: Callable[[], None] = lambda: None,
    ) -> None:
        """`emptier` is called when a destination that was full has fallen below its share."""
        self._adapter = adapter
        self._batched = adapter if isinstance(adapter, BatchAdapter) else None
        self._batch_max = min(self._batched.batch_max, adapter.per_destination_max) if self._batched else 1
        self._width_max = adapter.per_destination_max
        # With one breaker for all there is one destination, and nobody beside it to be kept from starving.
        self._one_destination = adapter.circuit or ""
        several = adapter.per_destination_max < self.places_max
        batches_fit = self._batch_max == 1 or self._batch_max < adapter.per_destination_max
        self._widens = not self._one_destination and several and batches_fit
        self._attempts = attempts
        self._backoff = backoff
        self._clock = clock
        self._settler = settler
        self._limiter = limiter
        self._held_up: dict[str, None] = {}
        self._full: dict[str, int] = {}
        self._emptier = emptier
        self._age_max_s = age_max_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._destinations: dict[str, Destination] = {}
        self._rested: dict[str, Destination] = {}
        self._held = 0
        self._yielding_held = 0
        self._settled_elsewhere = 0

    @property
    def places_max(self) -> int:
        return self._adapter.concurrency_max

    @property
    def _claim_max(self) -> int:
        return max(1, self._batch_max, self.places_max // 4)

    @property
    def places_taken(self) -> int:
        return self._held + self._settler.unsettled

    @property
    def places_free(self) -> int:
        """What the next claim may take: never so much that one destination could get it all."""
        return max(0, min(self._claim_max, self.places_max - self.places_taken))

    def set_limits(self, limits: Sequence[Limit]) -> None:
        """Where these are new, what was claimed before is let go; its turn may be far off now."""
        if self._limiter.set(limits):
            self.hand_back()
            self.go_on()

    @property
    def held_back(self) -> bool:
        """Whether a limit had no room when `room` was asked last."""
        return self._limiter.active and self._limiter.holds_back

    def room(self) -> tuple[int, list[Room]]:
        """What the limits leave of `places_free`, and of which tenants and destinations only fewer."""
        if not self._limiter.active:
            return self.places_free, []
        return self._limiter.room(self._destinations, self.places_free, places_max=self.places_max)

    @property
    def limited_destinations(self) -> Collection[str]:
        """Those that have a limit of their own."""
        return self._limiter.destinations

    @property
    def bulk_places_free(self) -> int:
        """How many bulk, or tenants that crowd, may take: a quarter is kept for what comes meanwhile."""
        return max(0, max(1, self.places_max * 3 // 4) - self._yielding_held)

    @property
    def has_room(self) -> bool:
        """Whether claiming is worth a query: small claims are what makes a busy queue slow."""
        return self.places_free >= self._claim_max

    def full_destinations(self) -> list[str]:
        """Those that have their share of the places already."""
        if self._one_destination:
            return []
        now = self._clock.monotonic()
        most = max(self._adapter.per_destination_max, self.places_max // 4)
        self._full.clear()
        for name, each in self._destinations.items():
            share = min(each.share(now), 2 * most if each.takes_more else most) if self._widens else most
            if each.taken >= share:
                self._full[name] = share
        return list(self._full)

    @property
    def some_are_full(self) -> bool:
        """Whether some were when it was asked last, and limits hold back nothing besides."""
        return bool(self._full) and not self.held_back

    def silent_destinations(self) -> list[str]:
        """Those that do not answer, so that no other must wait for them.

        Where places are short, what only waits for them is put off: a slow receiver keeps what it has claimed
        as long as nobody else needs the places.
        """
        if not self._widens:
            return []
        now = self._clock.monotonic()
        silent = [name for name, each in self._destinations.items() if each.is_silent(now)]
        if not self.has_room:
            for name in silent:
                self._hand_back(self._destinations[name], SHED_S)
        return silent

    @property
    def done_count(self) -> int:
        """Deliveries that this dispatcher has brought to an end or put off."""
        return self._settler.settled_count + self._settled_elsewhere

    def start(self, claims: Sequence[Claim]) -> None:
        """Queue claims by destination and send off what may go. What is too old already is not tried."""
        touched: dict[str, Destination] = {}
        started = self._in_time(claims)
        for claim in started:
            name = self._one_destination or claim.destination
            destination = touched.get(name) or self._destinations.get(name) or self._open(name)
            destination.add(claim)
            touched[name] = destination
        self._held += len(started)
        self._yielding_held += _yielding_in(started)
        for name, destination in touched.items():
            self._held_up.pop(name, None)
            self._send_off(name, destination)

    def _in_time(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Those that are not too old; the others are settled. Nearly nothing ever is too old."""
        oldest_s = (claims[0].claimed_s or 0.0) - self._age_max_s if claims else 0.0
        suspects = [each for each in claims if each.expires_s is not None or each.created_s <= oldest_s]
        late = [each for each in suspects if left_s(each, self._age_max_s) <= 0]
        if not late:
            return claims
        for claim in late:
            self._settler.hand_in(claim, EXPIRED, 0)
        gone = {(claim.message_id, claim.n) for claim in late}
        return [claim for claim in claims if (claim.message_id, claim.n) not in gone]

    def _open(self, name: str) -> Destination:
        now = self._clock.monotonic()
        destination = self._rested.pop(name, None)
        if destination is None or now - destination.heard_at >= SILENT_S:
            width = min(WIDTH_START, self._width_max) if self._widens else self._width_max
            destination = Destination(width, self._width_max, heard_at=now)
        self._destinations[name] = destination
        return destination

    def _rest(self, name: str, destination: Destination) -> None:
        """Nothing is left there. What comes within a moment finds what it has earned."""
        self._destinations.pop(name, None)
        if self._widens and destination.width > WIDTH_START:
            self._rested[name] = destination
            if len(self._rested) > RESTED_MAX:
                del self._rested[next(iter(self._rested))]

    async def drain(self) -> None:
        """Hand back what only waited, let what is at the adapter end, wait until all is settled."""
        self.hand_back()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=DRAIN_WITHIN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        while self._settler.unsettled:
            await self._settler.freed()

    def hand_back(self) -> None:
        """Of everything that was claimed and only waits, let go; it stays due, and no attempt is spent."""
        for destination in self._destinations.values():
            self._hand_back(destination, 0.0)

    def _hand_back(
        self, destination: Destination, after_s: float, *, only: Callable[[Claim], bool] = lambda _: True
    ) -> None:
        for claim in destination.remove(only):
            self._held -= 1
            self._yielding_held -= _yielding_in([claim])
            self._settle(claim, Deferred(Wait.DESTINATION_FULL, "handed back", after_s), 0)

    def _send_off(self, name: str, destination: Destination) -> None:
        """Open one more worker to a destination, if it may have one and something waits."""
        if not destination.waiting_count:
            if not destination.workers:
                self._rest(name, destination)
            return
        if destination.workers >= destination.width or name in self._held_up:
            return
        if destination.in_flight + self._together(destination) > destination.width:
            return
        destination.workers += 1
        task = asyncio.create_task(self._worker(name, destination))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _worker(self, name: str, destination: Destination) -> None:
        """Deliver one batch after the other until nothing waits for this destination.

        Each worker opens the next one before it waits for the receiver, so that a quick receiver is
        served by few workers and a slow one soon has as many as it may.
        """
        opened_next = False
        try:
            while batch := self._take(name, destination):
                if destination.waiting_count and not opened_next:
                    opened_next = True
                    self._send_off(name, destination)
                if await self._deliver(destination, batch) and destination.waiting_count:
                    self._send_off(name, destination)
        finally:
            destination.workers -= 1
            self._send_off(name, destination)

    def _take(self, name: str, destination: Destination) -> list[Claim]:
        """One batch at most of what may start now; empty when nothing may."""
        together = self._together(destination)
        if together > 1 and destination.in_flight + together > destination.width:
            return []  # whoever ends next goes on
        if not self._limiter.active:
            batch = destination.take(together)
        else:
            batch = self._limiter.take(destination, together)
            if not batch and destination.waiting_count and name not in self._held_up:
                self._held_up[name] = None
                self._limiter.want(name, destination, max(1, destination.width - destination.in_flight))
        destination.in_flight += len(batch)
        return batch

    def _together(self, destination: Destination) -> int:
        """How many go at once: never more than may be under way, which would wait for ever. Where neighbours
        are protected, half of it, so that two follow each other; and one, until the destination has shown
        that it answers."""
        if self._batched is None or not destination.waiting_count:
            return 1
        if self._widens and destination.width <= WIDTH_START:
            return 1
        most = destination.width // 2 if self._widens else destination.width
        return min(self._batched.batch_of(destination.next), most)

    def go_on(self, most: int | None = None) -> None:
        """Try again what limits have held up, `most` destinations of it, the first ones first."""
        for name in list(self._held_up)[:most]:
            del self._held_up[name]
            if destination := self._destinations.get(name):
                self._hand_back(destination, 0.0, only=self._limiter.is_stuck)
                self._send_off(name, destination)

    async def _deliver(self, destination: Destination, batch: Sequence[Claim]) -> bool:
        """Returns: whether the destination may have more under way than before."""
        started = self._clock.monotonic()
        if destination.in_flight == len(batch):
            destination.heard_at = started
        answers: Sequence[Answer] = [_CUT_OFF] * len(batch)
        try:
            answers = await self._attempts.batch(batch)
        finally:
            now = self._clock.monotonic()
            destination.in_flight -= len(batch)
            destination.is_quick = now - started < QUICK_S
            self._held -= len(batch)
            if self._yielding_held:
                self._yielding_held -= _yielding_in(batch)
            self._end(batch, answers, int((now - started) * 1000))
            if self._full and destination.taken < self._full.get(batch[0].destination, 0):
                self._emptier()
            if (freed := self._limiter.ended(batch)) and self._held_up:
                self.go_on(freed)
                await asyncio.sleep(0)  # so that they go first
        return destination.answered(now, len(batch), well=worst_trip(answers)[0] is None)

    def _end(self, batch: Sequence[Claim], answers: Sequence[Answer], duration_ms: int) -> None:
        for claim, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Settled):
                self._settled_elsewhere += 1
                self._settler.free_place(claim)
            else:
                self._settle(claim, answer, duration_ms)

    def _settle(self, claim: Claim, outcome: Outcome, duration_ms: int) -> None:
        jitter = random.random()  # noqa: S311  jitter, not a secret
        settlement = settle(outcome, attempts=claim.attempts, backoff=self._backoff, jitter=jitter)
        if settlement.verdict is not Verdict.DELIVERED:
            settlement = within(settlement, left_s(claim, self._age_max_s))
        self._settler.hand_in(claim, settlement, duration_ms)


def _yielding_in(claims: Sequence[Claim]) -> int:
    return sum(claim.crowds or claim.state in BULK_STATES for claim in claims)
