"""Where claiming goes on: a position in what is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from postroom.outbox.lanes import FIRST_STATES
from postroom.outbox.model import Claim

Position = tuple[datetime, int]
"""`due_at` and `seq` of a delivery: the order in which deliveries are claimed."""
_FIRST: Final[Position] = (datetime(1970, 1, 1, tzinfo=UTC), 0)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last first attempt and the last retry that were claimed or passed by.

    Before them lie rows that are claimed, or deleted and not yet vacuumed. Reading those again at every
    claim is what makes a queue slow while somebody holds an old snapshot.
    """

    first: Position = _FIRST
    retry: Position = _FIRST

    def after(self, claims: Sequence[Claim]) -> Cursor:
        """The cursor behind these claims, which are in order."""
        first, retry = self.first, self.retry
        for claim in claims:
            if claim.state in FIRST_STATES:
                first = (claim.due_at, claim.seq)
            else:
                retry = (claim.due_at, claim.seq)
        return Cursor(first, retry)

    def advanced_to(self, other: Cursor, *, first: bool = True, retry: bool = True) -> Cursor:
        """The further of the two, for both kinds of attempt or only for one. Never goes back."""
        return Cursor(
            max(self.first, other.first) if first else self.first,
            max(self.retry, other.retry) if retry else self.retry,
        )


START: Final = Cursor()
