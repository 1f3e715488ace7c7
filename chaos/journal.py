"""What the publishers know: every message they tried to publish, and whether it was committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class Fate(StrEnum):
    """UNKNOWN: the connection died while it committed. BoundedPage up once all is healed."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Entry:
    """One publication. `destinations`: where it must arrive if it was committed.

    `channel` and `key` find it in the ledger.
    """

    token: str
    entrance: str
    channel: str
    key: str
    destinations: frozenset[str]
    fate: Fate = Fate.UNKNOWN


class Journal:
    """Kept by the publishers, apart from the ledger."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self._entries

    def open(self, entry: Entry) -> None:
        """Written before the first byte is sent."""
        self._entries[entry.token] = entry

    def close(self, token: str, fate: Fate) -> None:
        self._entries[token] = replace(self._entries[token], fate=fate)

    def unknown(self) -> list[Entry]:
        return [entry for entry in self._entries.values() if entry.fate is Fate.UNKNOWN]

    def resolve(self, found: Iterable[str]) -> int:
        """Close what is unknown; `found` are the tokens in the ledger. Returns: how many were unknown."""
        there = set(found)
        open_entries = self.unknown()
        for entry in open_entries:
            self.close(entry.token, Fate.COMMITTED if entry.token in there else Fate.ROLLED_BACK)
        return len(open_entries)
