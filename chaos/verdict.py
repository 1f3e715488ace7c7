"""The comparison: what was committed against what arrived. Pure, so that each failure is a test."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chaos.journal import Entry, Fate


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something that reached a destination. `id` is what a receiver deduplicates on."""

    token: str
    destination: str
    id: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`duplicates_unexplained`: arrivals more than the attempts that a fault cut after they were sent."""

    published: int
    delivered: int
    lost: tuple[str, ...]
    phantoms: tuple[str, ...]
    duplicates: int
    duplicates_unexplained: tuple[str, ...]


def compare(
    entries: Mapping[str, Entry], arrivals: Iterable[Arrival], cut_attempts: Mapping[tuple[str, str], int]
) -> Comparison:
    """Count by delivery: one token at one destination.

    `cut_attempts`: for (id, destination), how many attempts the ledger logged that did not end as
    delivered; each may have reached the receiver once. A second id for one delivery is a phantom: the
    receiver could not know it for a duplicate.
    """
    seen: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for arrival in arrivals:
        seen[arrival.token, arrival.destination][arrival.id] += 1
    expected = {
        (entry.token, destination)
        for entry in entries.values()
        if entry.fate is Fate.COMMITTED
        for destination in entry.destinations
    }
    phantoms = [_name(place) for place in seen if place not in expected]
    phantoms += [f"{_name(place)} under {len(ids)} ids" for place, ids in seen.items() if len(ids) > 1]
    unexplained = [
        f"{token} at {destination}: {count} times, {cut_attempts.get((id_, destination), 0)} attempts cut"
        for (token, destination), ids in seen.items()
        for id_, count in ids.items()
        if count - 1 > cut_attempts.get((id_, destination), 0)
    ]
    return Comparison(
        published=len(expected),
        delivered=len(expected & seen.keys()),
        lost=tuple(sorted(_name(place) for place in expected - seen.keys())),
        phantoms=tuple(sorted(phantoms)),
        duplicates=sum(count - 1 for ids in seen.values() for count in ids.values()),
        duplicates_unexplained=tuple(sorted(unexplained)),
    )


def _name(place: tuple[str, str]) -> str:
    return f"{place[0]} at {place[1]}"


def percentile_50(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else 0.0
