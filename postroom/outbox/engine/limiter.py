"""Keeps one relay within the limits of its channel; what it may start is leased, a little at a time."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from postroom.base.cancelling import cancel
from postroom.base.clock import Clock
from postroom.base.db import DATABASE_FAILURES, Pool, transaction
from postroom.base.log import get_logger
from postroom.outbox.engine.destination import Destination
from postroom.outbox.engine.limit_budget import ASK_MAX_S, Budget
from postroom.outbox.limits import Lease, Limit, Room, Wanted, lease
from postroom.outbox.model import Claim
from postroom.worker.heartbeat import Worker

log = get_logger(__name__)


class Limiter:
    """Lets deliveries of one relay start.

    Promise: nothing starts that its channel, its tenant or its destination has no room for, all runners
    together. Of starts: in any T seconds at most `per_second` times (T + `VOID_S`), and what had piled up
    (`PILE_S`). In flight: never more than the limit. While the database is away, what is limited waits.
    Without a limit it costs a look at an empty list. Does not promise: anything of what was under way
    before the limit was known. What a runner had in flight when it died may still be there when others
    get its places.
    """

    def __init__(self, *, pool: Pool, worker: Worker, clock: Clock) -> None:
        self._pool = pool
        self._worker = worker
        self._clock = clock
        self._limits: Sequence[Limit] = ()
        self._whole: Budget | None = None
        self._tenants: dict[str, Budget] = {}
        self._destinations: dict[str, Budget] = {}
        self._budgets: Collection[Budget] = ()
        self._charged: dict[int, Sequence[Budget]] = {}
        self._leased_by = worker.id
        self._wanted = asyncio.Event()
        self._leasing: asyncio.Task[None] | None = None
        self.holds_back = False

    @property
    def active(self) -> bool:
        return bool(self._budgets)

    @property
    def destinations(self) -> Collection[str]:
        """Those that have a limit of their own."""
        return self._destinations.keys()

    def start(self, go_on: Callable[[], None]) -> None:
        """`go_on` is called whenever more may have become possible."""
        self._leasing = asyncio.create_task(self._lease_on(go_on), name="lease limits")

    async def close(self) -> None:
        """Return the places. Call it when nothing is in flight any more."""
        if self._leasing is not None:
            await cancel([self._leasing])
        held = [each.limit.id for each in self._budgets if each.limit.in_flight is not None]
        try:
            await self._ask([Wanted(limit_id, 0, 0, 0) for limit_id in held])
        except DATABASE_FAILURES as error:
            log.warning("limits.not_returned", error=repr(error))  # they return when this worker leaves

    def set(self, limits: Sequence[Limit]) -> bool:
        """Keep these from now on. Returns: whether they are others. Errors: whatever broke the leasing."""
        if self._leasing is not None and self._leasing.done():
            self._leasing.result()
        if self._leased_by != self._worker.id:  # declared dead: what it had is no longer its own
            self._leased_by = self._worker.id
            for each in self._budgets:
                each.places = 0
        if limits == self._limits:
            return False
        known = {each.limit.id: each for each in self._budgets}
        self._limits, self._whole, self._tenants, self._destinations = limits, None, {}, {}
        for limit in limits:
            budget = known.get(limit.id) or Budget(limit)
            budget.limit = limit
            if limit.tenant is not None:
                self._tenants[limit.tenant] = budget
            elif limit.destination is not None:
                self._destinations[limit.destination] = budget
            else:
                self._whole = budget
        whole = [self._whole] if self._whole else []
        self._budgets = [*whole, *self._tenants.values(), *self._destinations.values()]
        self.holds_back = False
        self._wanted.set()
        return True

    def room(
        self, destinations: Mapping[str, Destination], free: int, *, places_max: int
    ) -> tuple[int, list[Room]]:
        """Returns: how many may be claimed, and of which tenants and destinations only fewer.

        What waits for its turn never takes more than half of the `places_max`, which others need.
        """
        now = self._clock.monotonic()
        if self._whole is not None:
            count = sum(each.waiting_count for each in destinations.values())
            free = min(free, self._whole.room(count, now))
        narrower = [*self._tenants.values(), *self._destinations.values()]
        most = math.inf
        if 2 * sum(each.ahead for each in narrower) > places_max:
            most = max(1, places_max // (2 * len(narrower)))
        waiting = [claim for each in destinations.values() for claim in each.claims()] if narrower else []
        rooms = []
        if self._tenants:
            counts = Counter(claim.tenant for claim in waiting)
            rooms = [Room(n, None, each.room(counts[n], now, most=most)) for n, each in self._tenants.items()]
        if self._destinations:
            counts = Counter(claim.limited_as for claim in waiting)
            rooms += [
                Room(None, n, each.room(counts[n], now, most=most)) for n, each in self._destinations.items()
            ]
        self.holds_back = free <= 0 or any(each.most <= 0 for each in rooms)
        return free, [each for each in rooms if each.most < free]

    def take(self, destination: Destination, most: int) -> list[Claim]:
        """Take the next ones that may start now; those between them stay."""
        now = self._clock.monotonic()
        whole = self._whole
        if whole is not None and not (self._tenants or self._destinations):  # a hot path
            if (count := whole.allows(now, most)) and (taken := destination.take(count)):
                self._charge(taken, [whole] if whole.start(len(taken)) else [])
                return taken
            return []
        taken, passed_by = list[Claim](), list[Claim]()
        while len(taken) < most and (whole is None or whole.allows(now)):
            if not (found := destination.take(1)):
                break
            narrower = self._narrower(found[0])
            if narrower and not all(each.allows(now) for each in narrower):
                passed_by += found
                continue
            taken += found
            budgets = [whole, *narrower] if whole is not None else narrower
            self._charge(found, [each for each in budgets if each.start()])
        if passed_by:
            destination.put_back(passed_by)
        return taken

    def _charge(self, claims: Sequence[Claim], budgets: Sequence[Budget]) -> None:
        """Note whose places they take. They are the very objects that end."""
        if budgets:
            for claim in claims:
                self._charged[id(claim)] = budgets

    def _narrower(self, claim: Claim) -> Sequence[Budget]:
        """Of its tenant, and of its destination."""
        tenant, there = self._tenants.get(claim.tenant), self._destinations.get(claim.limited_as)
        return [each for each in (tenant, there) if each is not None]

    def ended(self, claims: Iterable[Claim]) -> int:
        """Free the places of what was started. Returns: how many."""
        if not self._charged:
            return 0
        freed = 0
        for claim in claims:
            budgets = self._charged.pop(id(claim), ())
            for each in budgets:
                each.used -= 1
            freed += bool(budgets)
        return freed

    def want(self, name: str, destination: Destination, most: int) -> None:
        """Ask for what keeps those from starting that wait there, of which `most` could start otherwise."""
        now = self._clock.monotonic()
        if self._whole is not None and not self._whole.allows(now):
            self._whole.want(name, min(destination.waiting_count, most))
        if self._tenants or self._destinations:
            counts: Counter[Budget] = Counter()
            for claim in destination.claims():
                counts.update(each for each in self._narrower(claim) if not each.allows(now))
            for budget, count in counts.items():
                budget.want(name, min(count, most))
        self._wanted.set()

    def is_stuck(self, claim: Claim) -> bool:
        """Whether it should be handed back: others have had all of its limit for a while."""
        if self._whole is not None and self._whole.stuck:
            return True
        return any(each.stuck for each in self._narrower(claim))

    async def _lease_on(self, go_on: Callable[[], None]) -> None:
        while True:
            due = await self._due()
            asked_at = self._clock.monotonic()
            wanted = [each.ask(asked_at) for each in due]
            try:
                given = await self._ask(wanted)
            except DATABASE_FAILURES as error:
                log.warning("limits.not_leased", error=repr(error))
                await asyncio.sleep(ASK_MAX_S)
                given = {}
            now = self._clock.monotonic()
            for budget, each in zip(due, wanted, strict=True):
                nothing = Lease(each.limit_id, 0, 0, None)
                budget.take(each, given.get(each.limit_id, nothing), asked_at=asked_at, now=now)
            go_on()

    async def _due(self) -> list[Budget]:
        while True:
            self._wanted.clear()
            now = self._clock.monotonic()
            if due := [each for each in self._budgets if each.due_at() <= now]:
                return due
            due_at = min((each.due_at() for each in self._budgets), default=math.inf)
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due_at == math.inf else due_at - now):
                    await self._wanted.wait()

    async def _ask(self, wanted: Sequence[Wanted]) -> dict[int, Lease]:
        if not wanted:
            return {}
        async with transaction(self._pool) as conn:
            leases = await lease(conn, worker=self._worker.id, wanted=wanted)
        return {each.limit_id: each for each in leases}
