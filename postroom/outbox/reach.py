"""Whose messages, on which channels: how far somebody reaches who does not reach everything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reach:
    """Tenants and channels; None means all of them. What has no tenant is within no list of tenants."""

    tenants: frozenset[str] | None = None
    channels: frozenset[str] | None = None

    @classmethod
    def of(cls, tenants: Iterable[str] | None, channels: Iterable[str] | None) -> Reach:
        return cls(
            None if tenants is None else frozenset(tenants),
            None if channels is None else frozenset(channels),
        )

    @property
    def limited(self) -> bool:
        return self != EVERYTHING

    @property
    def only_tenant(self) -> str | None:
        """The one tenant that it reaches, whose rows an index finds; None where there are several."""
        return next(iter(self.tenants)) if self.tenants is not None and len(self.tenants) == 1 else None

    def covers(self, *, tenant: str, channel: str) -> bool:
        return (self.tenants is None or tenant in self.tenants) and (
            self.channels is None or channel in self.channels
        )

    def within(self, other: Reach) -> bool:
        """Whether it reaches nothing that the other does not."""
        return _within(self.tenants, other.tenants) and _within(self.channels, other.channels)

    def beside(self, tenant: str | None) -> Reach:
        """What is left to look at where this tenant is asked for, and an index finds it."""
        known = self.tenants is not None and tenant in self.tenants
        return Reach(None, self.channels) if known else self

    def narrowed(self, tenants: Iterable[str] | None, channels: Iterable[str] | None) -> Reach:
        """What was asked for; what was not stays as it is here."""
        asked = Reach.of(tenants, channels)
        return Reach(
            self.tenants if asked.tenants is None else asked.tenants,
            self.channels if asked.channels is None else asked.channels,
        )

    def parameters(self) -> tuple[list[str] | None, list[str] | None]:
        """Tenants and channels as queries take them."""
        return _listed(self.tenants), _listed(self.channels)

    def described(self) -> dict[str, list[str]]:
        """What is limited, for the audit trail."""
        tenants, channels = self.parameters()
        return {
            name: values
            for name, values in (("tenants", tenants), ("channels", channels))
            if values is not None
        }


EVERYTHING: Final = Reach()


def _within(names: frozenset[str] | None, others: frozenset[str] | None) -> bool:
    return others is None or (names is not None and names <= others)


def _listed(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)
