"""Shares what a relay may claim between the lanes of its channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from postroom.base.clock import Clock
from postroom.base.db import Pool
from postroom.outbox import store
from postroom.outbox.engine.around import ANYTHING, Around
from postroom.outbox.engine.claimer import CLAIM_MAX
from postroom.outbox.engine.queue import Queue
from postroom.outbox.engine.restarts import DEFAULT_PACE, RestartPace
from postroom.outbox.engine.share import Share
from postroom.outbox.engine.tenant_claims import TenantClaims
from postroom.outbox.lanes import LANES, Urgency
from postroom.outbox.model import Claim
from postroom.outbox.store import OrderedBy
from postroom.worker.heartbeat import Worker

URGENT_SHARE: Final = 0.75
"""Of what is claimed, while others wait, too."""
BULK_SHARE: Final = 0.1
"""Of what the urgent ones leave, while normal ones wait, too."""
LOOK_EVERY_S: Final = 0.05
"""How often it is asked, while there is always something to claim, whether other lanes wait, too."""


class LaneClaims:
    """The claims of all lanes.

    Promise: what is urgent goes first, up to `URGENT_SHARE` of what is claimed; bulk gets `BULK_SHARE` of the
    rest; each gets all that the others leave. Where nobody uses urgency, the claims are those of the normal
    lane, and a look of four index probes now and then is all that it costs. Does not promise: an order
    between lanes, but that of ordering keys.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        worker: Worker,
        channel: str,
        clock: Clock,
        restart_pace: RestartPace = DEFAULT_PACE,
        in_a_hurry: Callable[[], bool] = lambda: False,
    ) -> None:
        self._pool = pool
        self._channel = channel
        self._clock = clock
        self._claimers = {
            urgency: TenantClaims(
                Queue(pool, worker, channel, clock, lane, in_a_hurry), restart_pace=restart_pace
            )
            for urgency, lane in LANES.items()
        }
        self._shares = {
            Urgency.URGENT: Share(URGENT_SHARE, saved_max=CLAIM_MAX),
            Urgency.BULK: Share(BULK_SHARE, saved_max=CLAIM_MAX),
        }
        self._busy: set[Urgency] = set()
        self._found_some = False
        self._looked_at = float("-inf")

    async def claim(
        self, free: int, around: Around = ANYTHING, *, bulk_free: int, ended: Sequence[OrderedBy] = ()
    ) -> list[Claim]:
        """At most `free` deliveries, the urgent ones first, bulk last; empty when nothing is due.

        `bulk_free`: how many of them may be bulk, or of tenants that crowd a lane and leave room. `ended` as
        in `Claimer.claim`.
        """
        free = min(CLAIM_MAX, free)
        if free <= 0:
            return []
        if self._found_some and self._clock.monotonic() - self._looked_at >= LOOK_EVERY_S:
            await self._look()
        if self._busy:
            claims = await self._shared(free, bulk_free, around, ended)
        else:
            claims = await self._claimers[Urgency.NORMAL].claim(free, around, room=bulk_free, ended=ended)
            if not claims:
                # Only now: to the message that wakes a sleeper it would add its time.
                await self._look()
                claims = await self._shared(free, bulk_free, around, ()) if self._busy else []
        self._found_some = bool(claims)
        return claims

    def wait_for_room(self, bulk_free: int) -> bool:
        """Whether something is left that only places keep from being claimed."""
        return bulk_free <= 0 and (Urgency.BULK in self._busy or self.crowded)

    @property
    def crowded(self) -> bool:
        """Whether some tenants leave places free for others, who may need one at any time."""
        return any(each.leaves_room for each in self._claimers.values())

    async def _look(self) -> None:
        self._looked_at = self._clock.monotonic()
        async with self._pool.acquire() as conn:
            self._busy = await store.list_busy_lanes(
                conn, channel=self._channel, urgencies=(Urgency.URGENT, Urgency.BULK)
            )

    async def _shared(
        self, free: int, bulk_free: int, around: Around, ended: Sequence[OrderedBy]
    ) -> list[Claim]:
        urgent_max = min(self._shares[Urgency.URGENT].of(free), free - len(ended))
        claims = await self._take(Urgency.URGENT, urgent_max, around, room=bulk_free)
        self._shares[Urgency.URGENT].took(len(claims))
        around, room = around.after(claims), _left(bulk_free, claims)
        bulk_busy = bulk_free > 0 and Urgency.BULK in self._busy
        bulk_share = self._shares[Urgency.BULK].of(free - len(claims)) if bulk_busy else 0
        normal_max = max(free - len(claims) - min(bulk_share, room), len(ended))
        normal = await self._claimers[Urgency.NORMAL].claim(normal_max, around, room=room, ended=ended)
        claims += normal
        around, room = around.after(normal), _left(room, normal)
        if normal_max and _exhausted(normal, normal_max):
            more_max = free - len(claims) - min(bulk_share, room)
            more = await self._take(Urgency.URGENT, more_max, around, room=room)
            claims += more
            around, room = around.after(more), _left(room, more)
            bulk_share = free - len(claims)
        bulk_max = min(bulk_share, room, free - len(claims))
        bulk = await self._take(Urgency.BULK, bulk_max, around, room=room)
        self._shares[Urgency.BULK].took(len(bulk))
        return claims + bulk

    async def _take(self, urgency: Urgency, wanted: int, around: Around, *, room: int) -> list[Claim]:
        if wanted <= 0 or urgency not in self._busy:
            return []
        claims = await self._claimers[urgency].claim(wanted, around, room=room)
        if _exhausted(claims, wanted):
            self._busy.discard(urgency)  # until the next look
        return claims


def _left(room: int, claims: Sequence[Claim]) -> int:
    """Of the places for those that crowd; they may have taken more, before anybody else was seen."""
    return max(0, room - sum(claim.crowds for claim in claims))


def _exhausted(claims: Sequence[Claim], wanted: int) -> bool:
    """Whether a lane has no more; up to half of the places are kept for retries, also where none is due."""
    return not claims or len(claims) < wanted // 2
