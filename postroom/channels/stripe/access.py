"""What an object of Stripe's says about a customer's access, in the shapes of every API version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from postroom.channels.stripe.entitlements import SUMMARY
from postroom.channels.stripe.event import reference


class Kind(StrEnum):
    """What the names of a source are: products, features, or the subscription that an invoice is of."""

    PRODUCT = "product"
    FEATURE = "feature"
    DEBT = "debt"


class State(StrEnum):
    """What Stripe says, before the clock is asked: the view `stripe.customer_access` does that."""

    ACTIVE = "active"
    TRIAL = "trial"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    INCOMPLETE = "incomplete"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


_STATES: Final = {
    "active": State.ACTIVE,
    "trialing": State.TRIAL,
    "past_due": State.PAST_DUE,
    "unpaid": State.UNPAID,
    "paused": State.PAUSED,
    "incomplete": State.INCOMPLETE,
    "incomplete_expired": State.CANCELLED,
    "canceled": State.CANCELLED,
}


SOURCES: Final = ("subscription", SUMMARY, "invoice")
"""Objects that say something of access."""


@dataclass(frozen=True, slots=True)
class Access:
    """What one object says. `names`: of what, each with the moment until which; None: nobody said.

    `renews`: it goes on after that unless Stripe says otherwise. `due`: since when money is owed, if it is
    past due; grace counts from there.
    """

    customer: str
    kind: Kind
    state: State
    names: Mapping[str, datetime | None]
    renews: bool = True
    due: datetime | None = None


def access_of(object: Mapping[str, Any]) -> Access | None:
    """None where it says nothing: it is no subscription, summary of entitlements, or invoice that is owed.

    Depends on the object alone, so that whatever order events come in, the mirror's state decides.
    """
    customer = reference(object.get("customer"))
    if customer is None:
        return None
    match object.get("object"):
        case "subscription":
            return _of_subscription(object, customer)
        case str(kind) if kind == SUMMARY:
            entitled = (each for each in _items(object.get("entitlements")) if isinstance(each, dict))
            names = {str(each.get("lookup_key") or reference(each.get("feature"))): None for each in entitled}
            return Access(customer, Kind.FEATURE, State.ACTIVE, names)
        case "invoice":
            return _of_invoice(object, customer)
    return None


def _of_subscription(object: Mapping[str, Any], customer: str) -> Access:
    state = _STATES.get(str(object.get("status")), State.UNKNOWN)
    pause = _mapping(object.get("pause_collection"))
    if pause.get("behavior") == "void" and state in (State.ACTIVE, State.TRIAL, State.PAST_DUE):
        # The other behaviours mean that the service goes on for nothing.
        state = State.PAUSED
    found = [each for each in _items(object.get("items")) if isinstance(each, dict)]
    items: list[Mapping[str, Any]] = [*found] or [object]
    ends = _end(object, items)
    names: dict[str, datetime | None] = {}
    for item in items:
        name = _product(item)
        until = _until(state, object, item, pause, ends)
        if name is not None:
            names[name] = _later(names[name], until) if name in names else until
    renews = state in (State.ACTIVE, State.TRIAL, State.PAST_DUE) and ends is None
    return Access(customer, Kind.PRODUCT, state, names, renews=renews, due=_due(state, object, items))


def _end(object: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> datetime | None:
    """When it ends for good, as far as that is decided."""
    at = _moment(object.get("cancel_at"))
    if at is not None or object.get("cancel_at_period_end") is not True:
        return at
    return max(_periods(object, items, "current_period_end"), default=None)


def _until(
    state: State,
    object: Mapping[str, Any],
    item: Mapping[str, Any],
    pause: Mapping[str, Any],
    ends: datetime | None,
) -> datetime | None:
    match state:
        case State.PAUSED:
            return _moment(pause.get("resumes_at"))
        case State.CANCELLED:
            return _moment(object.get("ended_at")) or _moment(object.get("canceled_at"))
        case State.ACTIVE | State.TRIAL | State.PAST_DUE:
            trial_end = _moment(object.get("trial_end")) if state is State.TRIAL else None
            period_end = max(_periods(object, [item], "current_period_end"), default=None)
            return ends or trial_end or period_end
    return None


def _due(state: State, object: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> datetime | None:
    """The begin of the period that is not paid for; the oldest debt that is known goes before it."""
    if state is not State.PAST_DUE:
        return None
    return max(_periods(object, items, "current_period_start"), default=_moment(object.get("created")))


def _of_invoice(object: Mapping[str, Any], customer: str) -> Access | None:
    """Only what somebody has tried to collect, or what has a date, is owed."""
    parent = _mapping(_mapping(object.get("parent")).get("subscription_details"))
    subscription = reference(object.get("subscription")) or reference(parent.get("subscription"))
    due = _moment(object.get("due_date"))
    tried = bool(object.get("attempted")) or due is not None
    if subscription is None or object.get("status") != "open" or not tried:
        return None
    finalized = _moment(_mapping(object.get("status_transitions")).get("finalized_at"))
    since = due or finalized or _moment(object.get("created"))
    return Access(customer, Kind.DEBT, State.PAST_DUE, {subscription: None}, renews=False, due=since)


def _product(item: Mapping[str, Any]) -> str | None:
    """Of a price, or of a plan, as it was before there were prices; the oldest plans are of no product."""
    price, plan = _mapping(item.get("price")), _mapping(item.get("plan"))
    found = reference(price.get("product")) or reference(plan.get("product"))
    return found or reference(price.get("id")) or reference(plan.get("id"))


def _periods(object: Mapping[str, Any], items: Iterable[Mapping[str, Any]], name: str) -> Iterator[datetime]:
    """Items have their own since version 2025-03-31; before, the subscription had one."""
    for each in items:
        moment = _moment(each.get(name)) or _moment(object.get(name))
        if moment is not None:
            yield moment


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)


def _items(listed: object) -> list[Any]:
    found = _mapping(listed).get("data")
    return found if isinstance(found, list) else []


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _moment(value: object) -> datetime | None:
    """Seconds since the epoch."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
