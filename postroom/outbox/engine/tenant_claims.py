"""Shares what a lane's claims may take between the tenants that crowd it and all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import force_setattr

from postroom.base.log import get_logger
from postroom.outbox.engine.around import Around
from postroom.outbox.engine.claimer import CLAIM_MAX, Claimer
from postroom.outbox.engine.crowd import Crowd
from postroom.outbox.engine.queue import Queue
from postroom.outbox.engine.restarts import DEFAULT_PACE, RestartPace
from postroom.outbox.engine.share import Share
from postroom.outbox.engine.tenant_scan import TenantScan
from postroom.outbox.model import Claim
from postroom.outbox.store import OrderedBy

log = get_logger(__name__)

CROWD_SHARE: Final = 0.05
"""Of what is claimed, for those that crowd, while others take all they may; and whatever these leave."""
SEEN_S: Final = 600.0
"""While there were others within so long, those that crowd leave places free for them."""


class TenantClaims:
    """The claims of one lane.

    Promise: as long as nobody crowds, those of its `Claimer`, and nothing else. Then the others go first, but
    for `CROWD_SHARE`; of the rest each that crowds gets about as much, in turns. What one does not use the
    others get: alone, one has everything. Does not promise: shares for what follows by its ordering key.
    """

    def __init__(self, queue: Queue, *, restart_pace: RestartPace = DEFAULT_PACE) -> None:
        self._queue = queue
        self._claimer = Claimer(queue, restart_pace=restart_pace)
        self._crowd = Crowd(queue.clock)
        # The n-th goes around the first n that crowd, so that the last one finds the others'.
        self._scans: list[TenantScan] = []
        self._crowd_share = Share(CROWD_SHARE, saved_max=CLAIM_MAX)
        self._others_seen_at = float("-inf")
        self._turn = 0

    @property
    def leaves_room(self) -> bool:
        """Whether those that crowd may not have every place."""
        return bool(self._scans) and self._queue.clock.monotonic() - self._others_seen_at < SEEN_S

    async def claim(
        self, free: int, around: Around, *, room: int, ended: Sequence[OrderedBy] = ()
    ) -> list[Claim]:
        """At most `free`, the others' first, and of those that crowd at most `room` if places are left free.

        What crowds is marked so. The rest as in `Claimer.claim`.
        """
        others = await self._claim_others(free - len(ended), around, room=room) if self._scans else []
        around = around.after(others)
        left = free - len(others)
        if others and left < free // 4:
            left = 0  # it is claimed with the next: a claim takes as long for one as for a dozen
        crowd_max = max(min(left, room) if self.leaves_room else left, len(ended))
        claims = await self._claim_in_turn(crowd_max - len(ended), around)
        around = around.after(claims)
        crowd_max -= len(claims)
        if crowd_max > 0:
            found = await self._claimer.claim(crowd_max, around, ended=ended)
            if crowd_max > len(ended):
                self._note(_without(found, ended), whole=not around.passed_by)
            claims += found
        self._crowd_share.took(len(claims))
        crowding = set(self._crowd.tenants)
        self._follow()
        if crowding:
            for each in claims:
                if each.tenant in crowding:
                    force_setattr(each, "crowds", True)  # nobody else has it yet, and a copy takes far longer
        return others + claims

    async def _claim_others(self, free: int, around: Around, *, room: int) -> list[Claim]:
        """The share of those that crowd is kept for them when it has grown to half of a claim.

        It does not grow while they have no room: they may hold all of it for as long as their receivers are
        silent, and the others must not wait for that.
        """
        share = self._crowd_share.of(min(free, room) if self.leaves_room else free)
        others_max = free - share if share >= max(1, free // 2) else free
        if others_max <= 0:
            return []
        others = await self._claim_around(self._scans[-1], others_max, around)
        self._crowd.note_others(others)
        if others:
            self._others_seen_at = self._queue.clock.monotonic()
        return others

    async def _claim_in_turn(self, wanted: int, around: Around) -> list[Claim]:
        """Those that crowd but for the first, which the whole lane's claims find, where it is their turn."""
        self._turn = (self._turn + 1) % max(1, len(self._scans))
        if self._turn == 0:
            return []
        claims = await self._claim_around(self._scans[self._turn - 1], wanted, around)
        self._crowd.note_all(claims, whole=False)
        return claims

    async def _claim_around(self, scan: TenantScan, wanted: int, around: Around) -> list[Claim]:
        if wanted <= 0:
            return []
        async with self._queue.pool.acquire() as conn:
            return await scan.claim(conn, wanted, around)

    def _note(self, claims: Sequence[Claim], *, whole: bool) -> None:
        if self._scans:
            self._crowd.note_all(claims, whole=whole)
        else:
            self._crowd.note_others(claims)

    def _follow(self) -> None:
        """One scan for each that crowds; those that go around the same as before go on where they are."""
        tenants = self._crowd.tenants
        if len(tenants) == len(self._scans) and (not tenants or self._scans[-1].tenants == tenants):
            return
        log.info("claims.crowded", channel=self._queue.channel, state=self._queue.lane.first, tenants=tenants)
        known = {scan.tenants: scan for scan in self._scans}
        prefixes = [tenants[: n + 1] for n in range(len(tenants))]
        self._scans = [known.get(each) or TenantScan(self._queue, each) for each in prefixes]


def _without(claims: list[Claim], ended: Sequence[OrderedBy]) -> list[Claim]:
    """Those that did not wait for another one: what did may be late in any queue."""
    if not ended:
        return claims
    return [each for each in claims if (each.ordering_key, each.destination) not in ended]
