"""Lists inside an object, such as an invoice's lines: Stripe's events have the first ten of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

LISTS_MAX: Final = 5
ITEMS_MAX: Final = 1_000
"""What is longer stays cut, and says so: its `has_more` is true."""


def cut_lists(value: Any) -> list[dict[str, Any]]:
    """The lists in it of which Stripe has more, `LISTS_MAX` at most."""
    found = list[dict[str, Any]]()
    for each in _lists(value):
        if len(found) == LISTS_MAX:
            break
        if each.get("has_more") is True and len(each["data"]) < ITEMS_MAX:
            found.append(each)
    return found


def last_id(cut: dict[str, Any]) -> str | None:
    """After which item to go on; None where it does not say."""
    last = cut["data"][-1] if cut["data"] else None
    return last.get("id") if isinstance(last, dict) else None


def extend(cut: dict[str, Any], page: dict[str, Any]) -> None:
    """Add what follows. A list that changes meanwhile may tell of one item twice."""
    known = {item.get("id") for item in cut["data"]}
    new = [item for item in page.get("data") or () if item.get("id") not in known]
    room = ITEMS_MAX - len(cut["data"])
    cut["data"] += new[:room]
    cut["has_more"] = (page.get("has_more") is True and bool(new)) or len(new) > room


def _lists(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _lists(item)
    elif isinstance(value, dict):
        is_list = value.get("object") == "list" and isinstance(value.get("data"), list)
        if is_list and str(value.get("url")).startswith("/v1/"):
            yield value
        for item in value.values():
            yield from _lists(item)
