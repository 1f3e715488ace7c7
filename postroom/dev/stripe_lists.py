"""Lists of objects, as the stand-in for Stripe's API gives them: newest first, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from postroom.channels.stripe.load import listable

PAGE_MAX: Final = 100


def list_page(
    objects: Iterable[Mapping[str, Any]], path: str, query: Mapping[str, str]
) -> tuple[dict[str, Any], int] | None:
    """The answer and its status; None where this is the path of no list."""
    types = [name for name, url in listable().items() if url == path]
    if not types:
        return None
    wanted = [each for each in objects if each.get("object") == types[0]][::-1]
    if types[0] == "subscription" and query.get("status") != "all":
        wanted = [each for each in wanted if each.get("status") != "canceled"]
    start, after = 0, query.get("starting_after")
    if after is not None:
        places = [place for place, each in enumerate(wanted) if each["id"] == after]
        if not places:
            message = f"No such {types[0]}: '{after}'"
            error = {
                "type": "invalid_request_error",
                "code": "resource_missing",
                "message": message,
                "param": "starting_after",
            }
            return {"error": error}, 400
        start = places[0] + 1
    end = start + min(int(query.get("limit", 10)), PAGE_MAX)
    page = {"object": "list", "url": path, "data": wanted[start:end], "has_more": end < len(wanted)}
    return page, 200
