"""Where claiming goes on: a position in what is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from postroom.outbox.lanes import FIRST_STATES, RETRY_STATES
from postroom.outbox.model import Claim

Position = tuple[float, int]
"""When a delivery is due, in seconds since the epoch, and its `seq`: deliveries are claimed in this order."""
_FIRST: Final[Position] = (0.0, 0)


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
        return Cursor(
            next(
                ((each.due_s, each.seq) for each in reversed(claims) if each.state in FIRST_STATES),
                self.first,
            ),
            next(
                ((each.due_s, each.seq) for each in reversed(claims) if each.state in RETRY_STATES),
                self.retry,
            ),
        )

    def advanced_to(self, other: Cursor, *, first: bool = True, retry: bool = True) -> Cursor:
        """The further of the two, for both kinds of attempt or only for one. Never goes back."""
        return Cursor(
            max(self.first, other.first) if first else self.first,
            max(self.retry, other.retry) if retry else self.retry,
        )


START: Final = Cursor()
