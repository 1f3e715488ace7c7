"""Names of event types: which there are, and which a pattern means."""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import Final, get_args

THIN_PREFIXES: Final = ("v1.", "v2.")

_PATTERN = re.compile(r"\*|[a-z0-9_]+(\.[a-z0-9_]+)*(\.\*)?")


@cache
def known_types() -> frozenset[str]:
    """Snapshot event types that this release of Stripe's library knows."""
    # Imported late: an application that only writes handlers need not have it.
    import stripe

    return frozenset(get_args(stripe.Event.__annotations__["type"]))


def matches(pattern: str, event_type: str) -> bool:
    """Exact, `*`, or a prefix like `invoice.*`."""
    if pattern.endswith(".*"):
        return event_type.startswith(pattern[:-1])
    return pattern in ("*", event_type)


def fault_in(pattern: str, *, unlisted: bool = False) -> str | None:
    """What is wrong with a pattern, with the names that were likely meant; None when it is fine.

    `unlisted`: the type may be newer than this release. Thin events are not looked up.
    """
    if not _PATTERN.fullmatch(pattern):
        return f"'{pattern}' is no event type; write a name, a prefix like 'invoice.*', or '*'"
    if unlisted or pattern.startswith(THIN_PREFIXES):
        return None
    if pattern == "*" or any(matches(pattern, known) for known in known_types()):
        return None
    family = pattern.partition(".")[0]
    families = sorted({name.partition(".")[0] for name in known_types()})
    if family not in families:
        return f"unknown event type '{pattern}'; known families: {', '.join(families)}"
    same = sorted(name for name in known_types() if name.startswith(family + "."))
    near = difflib.get_close_matches(pattern, same, n=3) or same
    return f"unknown event type '{pattern}'; known names: {', '.join(near)} (newer ones: unlisted = true)"
