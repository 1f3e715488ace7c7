"""Events as Stripe would send them, for the tests of an application."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from postroom.dev.stripe_events import Object, SubscriptionLife, encode, make_id, signed, snapshot_event

UNSIGNED: Final = "whsec_" + "testing"
PREFIXES: Final = {
    "charge": "ch",
    "checkout.session": "cs_test",
    "dispute": "du",
    "payment_intent": "pi",
    "payment_method": "pm",
    "product": "prod",
    "refund": "re",
    "setup_intent": "seti",
}


@dataclass(frozen=True)
class StripeEvent:
    """`body` with `headers` is what Stripe would post; `event` is the same, decoded."""

    event: Object
    body: bytes
    headers: dict[str, str]

    @property
    def object(self) -> Object:
        found: Object = self.event["data"]["object"]
        return found


def stripe_event(
    type: str,
    *,
    secret: str | None = None,
    created: datetime | None = None,
    account: str | None = None,
    previous: Object | None = None,
    **fields: Any,
) -> StripeEvent:
    """An event of this type. `fields` go over those of its object: `customer="cus_42"`.

    Customers, subscriptions and invoices are whole; an object of any other type has an id and what is given.
    It is signed with `secret`, else with the first of POSTROOM_STRIPE__WEBHOOK_SECRETS, at the time of the
    process. `previous`: the attributes that an update has changed.
    """
    at = int(time.time() if created is None else created.timestamp())
    secrets = os.environ.get("POSTROOM_STRIPE__WEBHOOK_SECRETS", "").split(",")
    event = snapshot_event(type, _object(type, at, fields), created=at, previous=previous, account=account)
    body = encode(event)
    return StripeEvent(event, body, signed(body, secret or secrets[0].strip() or UNSIGNED))


def _object(type: str, at: int, fields: Object) -> Object:
    name, _, what = type.rpartition(".")
    life = SubscriptionLife(email="ada@example.com", name="Ada Lovelace", started=at)
    match name:
        case "customer":
            given = dict(fields)
            return life.customer() | ({"id": given.pop("customer")} if "customer" in given else {}) | given
        case "customer.subscription":
            ended = at if what == "deleted" else None
            return life.subscription(status="canceled" if ended else "active", ended=ended) | fields
        case "invoice":
            return life.invoice(paid=what in ("paid", "payment_succeeded"), created=at) | fields
    bare = name.removeprefix("charge.") if name.startswith("charge.") else name
    plain = {"id": make_id(PREFIXES.get(bare, bare[:2])), "object": bare, "created": at, "livemode": False}
    return {**plain, "metadata": {}, **fields}
