"""What a customer is entitled to: an object of Stripe's that has no id, and is read as a list."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

SUMMARY: Final = "entitlements.active_entitlement_summary"
LIST: Final = "/v1/entitlements/active_entitlements"


def summary_id(customer: str) -> str:
    """What stands for its id: there is one for each customer, and no id of Stripe's has a slash."""
    return f"{customer}/entitlements"


def list_url(customer: str) -> str:
    return f"{LIST}?customer={quote(customer, safe='')}"


def summary_of(listed: dict[str, Any], *, customer: str, livemode: bool | None) -> dict[str, Any]:
    """The object of events, made of the list that the API has."""
    entitlements = {**listed, "url": list_url(customer)}
    return {"object": SUMMARY, "customer": customer, "livemode": livemode, "entitlements": entitlements}


def is_cut(object: dict[str, Any]) -> bool:
    """Whether it is a summary that has only the first of its entitlements."""
    listed = object.get("entitlements")
    return object.get("object") == SUMMARY and isinstance(listed, dict) and listed.get("has_more") is True
