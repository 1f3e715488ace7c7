"""The engine of one channel: claims what is due, hands it to the adapter, settles what it answered."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from postroom.base.cancelling import cancel
from postroom.base.clock import Clock
from postroom.base.db import DATABASE_FAILURES, Pool
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox import store
from postroom.outbox.controls import REFRESH_S, Controls
from postroom.outbox.engine.around import Around
from postroom.outbox.engine.attempts import Attempts
from postroom.outbox.engine.claim_batches import ClaimBatches
from postroom.outbox.engine.claimer import CLAIM_MAX
from postroom.outbox.engine.dispatcher import Dispatcher
from postroom.outbox.engine.lane_claims import LaneClaims
from postroom.outbox.engine.limiter import Limiter
from postroom.outbox.engine.lost_claims import CHECK_EVERY_S, LostClaims
from postroom.outbox.engine.named_limits import NamedLimits
from postroom.outbox.engine.restarts import DEFAULT_PACE, RestartPace
from postroom.outbox.engine.settler import Settler
from postroom.outbox.engine.sources import Sources
from postroom.outbox.engine.watched_starts import WatchedStarts
from postroom.outbox.model import Adapter
from postroom.resilience.backoff import Backoff
from postroom.resilience.circuits import Circuits
from postroom.worker.heartbeat import Worker
from postroom.worker.model import JobContext
from postroom.worker.wakeup import POLL_S, Wakeup

BUSY_MIN: Final = 50
"""A claim of so many shows a busy queue, where publishers must not be made to notify."""
FIRST_WAIT_S: Final = 0.002
GATHER_S: Final = 0.02
STREAM_MIN: Final = 8
"""With so many under way, a few at a time are claimed every `GATHER_S`. One alone does not wait: somebody
may publish the next one when it has gone."""
FULL_WAIT_S: Final = 0.05
LATE_S: Final = 1.0
LATE_WAIT_S: Final = 0.25
NO_ROOM_WAIT_S: Final = 0.5
"""Where silent destinations hold every place nothing ends, and what waits for them must be put off."""


class Relay:
    """Moves one channel's deliveries.

    Promise: what is due is tried; no transaction is open while the adapter works. Does not promise:
    exactly once; receivers deduplicate on the message id.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        clock: Clock,
        worker: Worker,
        wakeup: Wakeup,
        circuits: Circuits,
        adapter: Adapter,
        backoff: Backoff,
        controls: Controls,
        age_max_s: float,
        keyring: Keyring = NO_KEYS,
        sources: Sources | None = None,
        restart_pace: RestartPace = DEFAULT_PACE,
        check_lost_claims_s: float = CHECK_EVERY_S,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._worker = worker
        self._wakeup = wakeup
        self._adapter = adapter
        self._backoff = backoff
        self._controls = controls
        self._paused = False
        self._age_max_s = age_max_s
        self._restart_pace = restart_pace
        self._attempts = Attempts(
            adapter=adapter,
            circuits=circuits,
            sources=sources or Sources(pool=pool, clock=clock, keyring=keyring),
            starts=WatchedStarts(pool),
            keyring=keyring,
        )
        self._named_limits = NamedLimits(pool=pool, adapter=adapter, keyring=keyring)
        self._channel = str(adapter.channel)
        self._passed_some_by = False
        self._round_up = False
        self._hurry = asyncio.Event()
        self._room_again = False
        self._lost_claims = LostClaims(
            pool=pool, worker=worker, channel=self._channel, clock=clock, check_every_s=check_lost_claims_s
        )

    async def run(self, context: JobContext) -> int:
        """Run until told to stop, or with `once` until nothing is due and nothing is under way.

        Returns: how many deliveries were settled. Errors: those of the database while claiming; what
        is under way is then finished and settled first.
        """
        batches = ClaimBatches(pool=self._pool, channel=self._channel, clock=self._clock)
        settler = Settler(pool=self._pool, wake=self._next_may_go, ended=batches.ended)
        limiter = Limiter(pool=self._pool, worker=self._worker, clock=self._clock)
        dispatcher = Dispatcher(
            adapter=self._adapter,
            attempts=self._attempts,
            backoff=self._backoff,
            clock=self._clock,
            settler=settler,
            limiter=limiter,
            age_max_s=self._age_max_s,
            emptier=self._has_room_again,
        )
        limiter.start(dispatcher.go_on)
        settling = asyncio.create_task(settler.run(), name=f"settle {self._channel}")
        try:
            await self._claim_until_stopped(dispatcher, settler, batches, context)
        finally:
            try:
                await self._drain(dispatcher, settling)
            finally:
                await limiter.close()
            await batches.forget_all()
        return dispatcher.done_count

    async def _drain(self, dispatcher: Dispatcher, settling: asyncio.Task[None]) -> None:
        try:
            await dispatcher.drain()
        except RuntimeError:
            # Settling broke: the claims are still ours, and the next run hands them back.
            self._lost_claims.suspect()
            raise
        finally:
            await cancel([settling])
            await self._wakeup.awake_on(self._channel)

    async def _claim_until_stopped(
        self, dispatcher: Dispatcher, settler: Settler, batches: ClaimBatches, context: JobContext
    ) -> None:
        await self._lost_claims.begin()
        lanes = LaneClaims(
            pool=self._pool,
            worker=self._worker,
            channel=self._channel,
            clock=self._clock,
            restart_pace=self._restart_pace,
            in_a_hurry=lambda: self._room_again,
        )
        empty_claims = 0
        while not context.stop.is_set():
            wanted = min(CLAIM_MAX, dispatcher.places_free)
            under_way = dispatcher.places_taken  # what ends during the claim may make more due than it saw
            claimed = await self._claim(lanes, dispatcher, settler, batches)
            await batches.forget_now_and_then()
            await context.progress(dispatcher.done_count)
            empty_claims = 0 if claimed else empty_claims + 1
            if claimed >= BUSY_MIN:
                await self._wakeup.awake_on(self._channel)
            due = not self._paused and (settler.next_may_go or self._passed_some_by)
            if context.once and not (claimed or under_way or due):
                return
            if not claimed and self._waits_for_full(lanes, dispatcher):
                await _within(self._hurry.wait(), FULL_WAIT_S)
            elif not dispatcher.has_room or (context.once and not claimed):
                if dispatcher.places_taken or dispatcher.held_back:  # all may have ended during the claim
                    soon = lanes.crowded or dispatcher.held_back
                    await _freed(settler, FULL_WAIT_S if soon else NO_ROOM_WAIT_S)
            elif claimed:
                streams = 1 < claimed < wanted // 2 and dispatcher.places_taken >= STREAM_MIN
                if streams and not settler.next_may_go:
                    await self._gather()
            elif lanes.wait_for_room(dispatcher.bulk_places_free):
                await _freed(settler, FULL_WAIT_S)
            else:
                await self._sleep(dispatcher, settler, empty_claims)

    def _waits_for_full(self, lanes: LaneClaims, dispatcher: Dispatcher) -> bool:
        """Whether all that could be claimed is for destinations that have their share."""
        if self._paused or not dispatcher.has_room or lanes.wait_for_room(dispatcher.bulk_places_free):
            return False
        return dispatcher.some_are_full

    def _has_room_again(self) -> None:
        self._room_again = True
        self._hurry.set()

    def _next_may_go(self) -> None:
        self._wakeup.flag(self._channel).set()
        self._hurry.set()

    async def _gather(self) -> None:
        """Little was due and more will come: a claim takes as long for one as for a dozen. No key waits."""
        self._hurry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER_S):
                await self._hurry.wait()

    async def _claim(
        self, lanes: LaneClaims, dispatcher: Dispatcher, settler: Settler, batches: ClaimBatches
    ) -> int:
        """Claim and start what fits. Returns: how many; 0 when nothing is due or nothing fits."""
        await self._lost_claims.check()
        self._paused = await self._controls.paused(self._channel)
        if self._paused:
            dispatcher.hand_back()
            return 0
        dispatcher.set_limits(await self._controls.limits(self._channel))
        closed = await self._attempts.closed_off()
        silent = dispatcher.silent_destinations()
        self._hurry.clear()  # what ends from here on may leave room that the claim has not seen
        self._room_again = False
        full = dispatcher.full_destinations()
        free, limited = dispatcher.room()
        self._passed_some_by = bool(full) or dispatcher.held_back
        ended = settler.take_ended(self._half_of(free), full=full)
        try:
            claims = await lanes.claim(
                free,
                Around([*full, *closed], silent, closed, limited, self._named_limits.handed_back),
                bulk_free=dispatcher.bulk_places_free,
                ended=[each for each in ended if each[1] not in closed],
            )
            batches.began(claims)
            kept, back = await self._named_limits.keep(claims, dispatcher.limited_destinations, limited)
        except DATABASE_FAILURES:
            self._lost_claims.suspect()
            raise
        for claim in back:
            batches.ended(claim)
        dispatcher.start(kept)
        return len(claims)

    def _half_of(self, free: int) -> int:
        """Of one place, one every other time: what has no ordering key must not starve."""
        self._round_up = not self._round_up
        return (free + 1) // 2 if self._round_up else free // 2

    async def _sleep(self, dispatcher: Dispatcher, settler: Settler, empty_claims: int) -> None:
        """Wait for new work, for the next delivery to become due, or for room at a full destination.

        The first empty claim only asks publishers to notify, and the next one follows at once. A publisher
        may have read who sleeps just before and commit just after, so the claims after that come soon too,
        then at growing intervals.
        """
        if self._paused:
            # Publishers need not notify: nothing of theirs would be claimed.
            await self._wakeup.awake_on(self._channel)
            await self._wakeup.wait(self._channel, REFRESH_S)
            return
        if dispatcher.held_back:
            await _freed(settler, FULL_WAIT_S)
            return
        if await self._wakeup.sleeping_on(self._channel):
            return
        async with self._pool.acquire() as conn:
            due_s = await store.fetch_next_due_s(conn, channel=self._channel)
        timeout_s = min(POLL_S, FIRST_WAIT_S * 2.0 ** min(empty_claims, 20))
        if due_s is not None and due_s < -LATE_S:
            due_s = LATE_WAIT_S  # it waits for another one to end, or somebody else claims it
        await self._wakeup.wait(
            self._channel, timeout_s if due_s is None else min(timeout_s, max(due_s, 0.01))
        )


async def _freed(settler: Settler, timeout_s: float) -> None:
    await _within(settler.freed(), timeout_s)


async def _within(event: Coroutine[Any, Any, object], timeout_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event, timeout_s)
