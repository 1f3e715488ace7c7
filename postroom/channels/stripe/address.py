"""Where an object is retrieved in Stripe's API."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from postroom.channels.stripe.entitlements import SUMMARY, list_url
from postroom.channels.stripe.event import Event, reference

if TYPE_CHECKING:
    from stripe import APIResource

PARENTS: Final = ("account", "customer", "fee", "transfer")
"""Where an object says whose it is, for those that are retrieved below their owner."""


def address(event: Event) -> str | None:
    """The path of the event's object; None where it cannot be retrieved."""
    if event.thin:
        url = event.object.get("url")
        return url if isinstance(url, str) and url.startswith(("/v1/", "/v2/")) else None
    if event.object_type == SUMMARY and event.customer is not None:
        return list_url(event.customer)
    found = retrievable(event.object_type or "")
    if event.object_id is None or found is None:
        return None
    if "instance_url" in vars(found):
        return _below_its_owner(found, event.object_id, event.object)
    return f"{found.class_url()}/{quote(event.object_id, safe='')}"


@cache
def retrievable(object_type: str) -> type[APIResource[Any]] | None:
    """What Stripe's library makes of this type, if such an object is retrieved by its id."""
    # Imported late, as in `types`.
    from stripe import APIResource, SingletonAPIResource

    place = object_classes().get(object_type)
    found = getattr(import_module(place[0]), place[1]) if place else None
    if not (isinstance(found, type) and issubclass(found, APIResource)):
        return None
    return found if "retrieve" in vars(found) and not issubclass(found, SingletonAPIResource) else None


@cache
def object_classes() -> dict[str, tuple[str, str]]:
    """Module and class of every type of object that Stripe's library knows: its own registry."""
    from stripe._object_classes import OBJECT_CLASSES

    return OBJECT_CLASSES


def _below_its_owner(found: type[APIResource[Any]], object_id: str, object: dict[str, Any]) -> str | None:
    from stripe import InvalidRequestError

    owners = {name: owner for name in PARENTS if (owner := reference(object.get(name)))}
    try:
        return found.construct_from({"id": object_id, **owners}, None).instance_url()
    except (AttributeError, InvalidRequestError):
        return None  # it does not say whose it is
