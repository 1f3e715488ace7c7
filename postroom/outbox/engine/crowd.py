"""Which tenants have so much waiting in a lane that the others would wait behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from postroom.base.clock import Clock
from postroom.outbox.model import Claim

LATE_S: Final = 0.5
"""What is claimed so long after it was due shows a backlog; until then all wait for that long at most."""
LATE_MIN: Final = 50
CROWDING_SHARE: Final = 0.1
"""Of `LATE_MIN` late claims or more, the largest tenant crowds if it has more than this part."""
LATE_FOR_S: Final = 2.0
"""One more crowds only after what is claimed around those of before has been late for so long."""
CROWD_MAX: Final = 20
LEAVE_S: Final = 5.0
LEAVE_ROUNDS: Final = 3
"""Who had nothing for so long, and in so many rounds of turns, crowds no more."""


class Crowd:
    """The tenants that crowd a lane, in the order in which they came to be seen.

    Promise: one more after each `LATE_MIN` late claims that went around those of before, until what is
    claimed around them is on time or belongs to many; none where nothing is late, and none where no tenant
    was ever named, for then nobody waits for another. Does not promise: to tell apart many small tenants
    that are too much together; those wait for each other.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._late: Counter[str] = Counter()
        self._late_since = self._all_late_at = 0.0
        self._seen: dict[str, tuple[float, int]] = {}
        self._turns = 0
        self._named = False

    @property
    def tenants(self) -> tuple[str, ...]:
        return tuple(self._seen)

    def note_others(self, claims: Sequence[Claim]) -> None:
        """What was claimed around all that crowd."""
        self._named = self._named or any(claim.tenant for claim in claims)
        if not (self._named and claims and _is_late(claims)):
            self._late.clear()
            return
        now = self._clock.monotonic()
        if not self._late:
            self._late_since = now
        self._late.update([claim.tenant for claim in claims])
        total = self._late.total()
        if total < LATE_MIN or (self._seen and now - self._late_since < LATE_FOR_S):
            return
        [(tenant, count)] = self._late.most_common(1)
        self._late.clear()
        if count > CROWDING_SHARE * total and len(self._seen) < CROWD_MAX:
            self._seen[tenant] = now, self._turns
            self._all_late_at = now

    def note_all(self, claims: Sequence[Claim], *, whole: bool) -> None:
        """What was claimed with those that crowd. `whole`: from all that is due, passing by nothing.

        Of whom nothing is among it for a while, that one crowds no more. If nothing is late, nobody does: at
        once if it is the whole, else after `LEAVE_S`, for what is passed by may be late.
        """
        now = self._clock.monotonic()
        if claims and _is_late(claims):
            self._all_late_at = now
        elif whole or (claims and now - self._all_late_at > LEAVE_S):
            self._seen.clear()
        if not claims:
            return
        self._turns += 1
        for tenant in {claim.tenant for claim in claims} & self._seen.keys():
            self._seen[tenant] = now, self._turns
        turns_max = LEAVE_ROUNDS * len(self._seen)
        self._seen = {
            tenant: (at, turn)
            for tenant, (at, turn) in self._seen.items()
            if now - at <= LEAVE_S or self._turns - turn <= turns_max
        }


def _is_late(claims: Sequence[Claim]) -> bool:
    """Whether the newest of first attempts, or of retries, was due long ago. `claims`: each kind in order."""
    return _was_late(claims[-1]) or any(map(_was_late, {claim.state: claim for claim in claims}.values()))


def _was_late(claim: Claim) -> bool:
    return claim.claimed_s is not None and claim.claimed_s - claim.due_s > LATE_S
