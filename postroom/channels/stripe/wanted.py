"""Which events Stripe is asked for: what routes and handlers name, and what the mirror needs."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from postroom.base.errors import InvalidInput
from postroom.channels.stripe.address import object_classes
from postroom.channels.stripe.effects import Effects
from postroom.channels.stripe.types import THIN_PREFIXES, known_thin_types, known_types, matches, subject

AWAIT_AN_ANSWER: Final = frozenset({"issuing_authorization.request"})
"""Stripe decides by our answer to these, so nobody gets one who has not named it."""
MIRROR: Final = "POSTROOM_STRIPE__MIRROR"


@dataclass(frozen=True, slots=True)
class WantedTypes:
    """Event types as Stripe names them. `thin`: those that need a destination of their own.

    `named_by`: file and line of the route or handler that names a type; what is missing there, the mirror
    needs. `unknown_patterns`: what names a family of which this release knows no type, with its place.
    """

    snapshot: frozenset[str]
    thin: frozenset[str]
    named_by: Mapping[str, str]
    unknown_patterns: Mapping[str, str]


def mirror_types() -> frozenset[str]:
    """What the mirror gets where it has to keep all objects."""
    return known_types() - AWAIT_AN_ANSWER


def wanted_types(effects: Effects, mirror: Collection[str] | None) -> WantedTypes:
    """`mirror`: types of objects that it has to keep; None: all.

    Errors: `InvalidInput` for one that Stripe has not.
    """
    named_by, unknown = dict[str, str](), dict[str, str]()
    for pattern, place in _patterns(effects):
        types = _meant_by(pattern)
        if not types:
            unknown[pattern] = place
        for each in types:
            named_by.setdefault(each, place)
    thin = frozenset(each for each in named_by if each.startswith(THIN_PREFIXES))
    return WantedTypes((frozenset(named_by) - thin) | _mirrored(mirror), thin, named_by, unknown)


def _patterns(effects: Effects) -> Iterator[tuple[str, str]]:
    """Each with the place where somebody wrote it."""
    for route in effects.routes.routes:
        yield route.on, route.place
    for handler in effects.registry.handlers:
        for pattern in handler.patterns:
            yield pattern, handler.place


def _meant_by(pattern: str) -> frozenset[str]:
    """Stripe takes names only. Of thin events only those are meant whose names begin as theirs do."""
    if not pattern.endswith("*"):
        return frozenset({pattern})
    known = known_thin_types() if pattern.startswith(THIN_PREFIXES) else mirror_types()
    return frozenset(each for each in known if matches(pattern, each))


def _mirrored(objects: Collection[str] | None) -> frozenset[str]:
    known = mirror_types()
    if objects is None:
        return known
    about = {each: subject(each) for each in known}
    for name in objects:
        if name not in about.values() and name not in object_classes():
            near = difflib.get_close_matches(name, object_classes(), n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise InvalidInput(f"Stripe has no objects of type '{name}'{hint}", field=MIRROR)
    return frozenset(each for each, object_type in about.items() if object_type in objects)
