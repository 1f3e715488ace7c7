"""What the claims of one moment leave alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from postroom.outbox.limits import Room, without
from postroom.outbox.model import Claim

PassedBy = tuple[str | None, str | None]
"""A tenant, or a destination."""


class Around(NamedTuple):
    """`full`: destinations that get nothing, among them `closed` ones, whose breaker is open for so many more
    seconds. `silent`: destinations that do not answer. `limited`: what gets no more than there is room for.
    `named`: how often something was handed back under the name of a limit, for it may be before the cursor.
    """

    full: Sequence[str] = ()
    silent: Sequence[str] = ()
    closed: Mapping[str, float] = MappingProxyType({})
    limited: Sequence[Room] = ()
    named: Mapping[str, int] = MappingProxyType({})

    @property
    def passed_by(self) -> frozenset[PassedBy]:
        """All that a claim may leave something of."""
        return frozenset([(None, name) for name in self.full] + [each[:2] for each in self.limited])

    @property
    def shut(self) -> frozenset[PassedBy]:
        """What gets nothing at all."""
        return self._replace(limited=[each for each in self.limited if each.most <= 0]).passed_by

    def after(self, claims: Sequence[Claim]) -> Around:
        """What is left of the room after these."""
        return self._replace(limited=without(self.limited, claims))


ANYTHING: Final = Around()
