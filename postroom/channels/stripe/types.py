"""Names of event types: which there are, and which a pattern means."""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import Final, get_args

from postroom.channels.stripe.address import object_classes, retrievable

THIN_PREFIXES: Final = ("v1.", "v2.")

SUBJECTS: Final = {
    "account.external_account": "bank_account",
    "application_fee.refund": "fee_refund",
    "billing.alert.triggered": "billing.alert_triggered",
    "invoice.upcoming": "invoice, which has no id yet",
    "source.transaction": "source_transaction",
}
"""What events are about whose names say something else."""

_PART: Final = r"[a-z0-9_]+(\[[a-z0-9_.]+\])?"
_PATTERN: Final = re.compile(rf"\*|{_PART}(\.{_PART})*(\.\*)?")


@cache
def known_types() -> frozenset[str]:
    """Snapshot event types that this release of Stripe's library knows."""
    # Imported late: an application that only writes handlers need not have it.
    import stripe

    return frozenset(get_args(stripe.Event.__annotations__["type"]))


@cache
def known_thin_types() -> frozenset[str]:
    """The same of thin events."""
    from stripe.events._event_classes import _V2_EVENT_CLASS_LOOKUP

    return frozenset(_V2_EVENT_CLASS_LOOKUP)


def matches(pattern: str, event_type: str) -> bool:
    """Exact, `*`, or a prefix like `invoice.*`."""
    if pattern.endswith(".*"):
        return event_type.startswith(pattern[:-1])
    return pattern in ("*", event_type)


def subject(event_type: str) -> str | None:
    """The type of object that a known event type is about, as its name says: `customer.tax_id.updated`."""
    if event_type in SUBJECTS:
        return SUBJECTS[event_type]
    named = event_type.rpartition(".")[0]
    while named:
        if named in SUBJECTS:
            return SUBJECTS[named]
        for name in (named, named.replace("issuing_", "issuing.", 1), named.rpartition(".")[2]):
            if name in object_classes():
                return name
        named = named.rpartition(".")[0]
    return None


def fetch_fault_in(pattern: str, *, unlisted: bool = False) -> str | None:
    """Why nothing that a pattern means can be fetched; None where something can, or nobody knows."""
    if unlisted or pattern.startswith(THIN_PREFIXES):
        return None
    subjects = {subject(known) for known in known_types() if matches(pattern, known)}
    if not subjects or any(retrievable(each or "") for each in subjects):
        return None
    told = ", ".join(sorted(each or "unknown" for each in subjects))
    return f"'fetch' cannot be had for '{pattern}': Stripe retrieves no object of type {told}"


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
