"""Stripe events as Stripe would send them: built here, and signed with a real secret."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from stripe import WebhookSignature

API_VERSION: Final = "2025-09-30.clover"
MONTH_S: Final = 30 * 86_400
_ALPHABET: Final = string.ascii_letters + string.digits

Object = dict[str, Any]


def make_id(prefix: str) -> str:
    """A fresh id in Stripe's form."""
    return f"{prefix}_1" + "".join(secrets.choice(_ALPHABET) for _ in range(23))


def encode(event: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(event)


def signed(body: bytes, secret: str, t: int | None = None) -> dict[str, str]:
    """The headers Stripe sends with a body. `t`: seconds since the epoch, now by default."""
    stamp = int(time.time()) if t is None else t
    header = WebhookSignature.generate_signature_header(body.decode(), secret, stamp)
    return {"Stripe-Signature": header, "Content-Type": "application/json; charset=utf-8"}


def snapshot_event(
    type: str,
    object: Object,
    *,
    created: int | None = None,
    previous: Object | None = None,
    event_id: str | None = None,
    account: str | None = None,
    livemode: bool = False,
) -> Object:
    """An event with the state of its object at that moment."""
    data: Object = {"object": object}
    if previous is not None:
        data["previous_attributes"] = previous
    event: Object = {
        "id": event_id or make_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": int(time.time()) if created is None else created,
        "data": data,
        "livemode": livemode,
        "pending_webhooks": 1,
        "request": {"id": make_id("req"), "idempotency_key": None},
        "type": type,
    }
    return event if account is None else {**event, "account": account}


def thin_event(
    type: str, *, object_id: str, object_type: str, url: str, created: str = "2026-01-02T03:04:05.678Z"
) -> Object:
    """An event that only names its object."""
    return {
        "id": make_id("evt"),
        "object": "v2.core.event",
        "type": type,
        "created": created,
        "livemode": False,
        "context": None,
        "reason": {"type": "request", "request": {"id": make_id("req"), "idempotency_key": ""}},
        "related_object": {"id": object_id, "type": object_type, "url": url},
    }


@dataclass(frozen=True, slots=True)
class SubscriptionLife:
    """One customer with one subscription. Builds its objects; `started` is seconds since the epoch."""

    email: str
    name: str
    started: int
    customer_id: str = field(default_factory=lambda: make_id("cus"))
    subscription_id: str = field(default_factory=lambda: make_id("sub"))
    item_id: str = field(default_factory=lambda: make_id("si"))
    price_id: str = field(default_factory=lambda: make_id("price"))
    product_id: str = field(default_factory=lambda: make_id("prod"))
    amount: int = 2900
    currency: str = "eur"

    def customer(self) -> Object:
        return {
            "id": self.customer_id,
            "object": "customer",
            "address": {
                "city": "Lyon",
                "country": "FR",
                "line1": "12 rue des Tanneurs",
                "line2": None,
                "postal_code": "69001",
                "state": None,
            },
            "balance": 0,
            "created": self.started,
            "currency": self.currency,
            "default_source": None,
            "delinquent": False,
            "description": None,
            "email": self.email,
            "invoice_prefix": "9C41A7B2",
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "livemode": False,
            "metadata": {},
            "name": self.name,
            "next_invoice_sequence": 1,
            "phone": None,
            "preferred_locales": ["fr-FR"],
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": None,
        }

    def price(self) -> Object:
        return {
            "id": self.price_id,
            "object": "price",
            "active": True,
            "billing_scheme": "per_unit",
            "created": self.started - 86_400,
            "currency": self.currency,
            "custom_unit_amount": None,
            "livemode": False,
            "lookup_key": "team_monthly",
            "metadata": {},
            "nickname": "Team, monthly",
            "product": self.product_id,
            "recurring": {
                "interval": "month",
                "interval_count": 1,
                "meter": None,
                "trial_period_days": None,
                "usage_type": "licensed",
            },
            "tax_behavior": "exclusive",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring",
            "unit_amount": self.amount,
            "unit_amount_decimal": str(self.amount),
        }

    def subscription(self, *, status: str = "active", quantity: int = 1, ended: int | None = None) -> Object:
        return {
            "id": self.subscription_id,
            "object": "subscription",
            "application": None,
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": self.started,
            "billing_mode": {"type": "flexible"},
            "cancel_at": None,
            "cancel_at_period_end": False,
            "canceled_at": ended,
            "cancellation_details": {
                "comment": None,
                "feedback": None,
                "reason": None if ended is None else "payment_failed",
            },
            "collection_method": "charge_automatically",
            "created": self.started,
            "currency": self.currency,
            "customer": self.customer_id,
            "days_until_due": None,
            "default_payment_method": None,
            "description": None,
            "discounts": [],
            "ended_at": ended,
            "items": {
                "object": "list",
                "data": [self._item(quantity)],
                "has_more": False,
                "total_count": 1,
                "url": f"/v1/subscription_items?subscription={self.subscription_id}",
            },
            "latest_invoice": None,
            "livemode": False,
            "metadata": {},
            "on_behalf_of": None,
            "pause_collection": None,
            "schedule": None,
            "start_date": self.started,
            "status": status,
            "test_clock": None,
            "trial_end": None,
            "trial_start": None,
        }

    def _item(self, quantity: int) -> Object:
        return {
            "id": self.item_id,
            "object": "subscription_item",
            "created": self.started,
            "current_period_end": self.started + MONTH_S,
            "current_period_start": self.started,
            "discounts": [],
            "metadata": {},
            "price": self.price(),
            "quantity": quantity,
            "subscription": self.subscription_id,
            "tax_rates": [],
        }

    def invoice(self, *, paid: bool, created: int, quantity: int = 1, number: int = 1) -> Object:
        total = self.amount * quantity
        invoice_id = make_id("in")
        return {
            "id": invoice_id,
            "object": "invoice",
            "account_country": "FR",
            "account_name": "Postroom demo",
            "amount_due": total,
            "amount_overpaid": 0,
            "amount_paid": total if paid else 0,
            "amount_remaining": 0 if paid else total,
            "attempt_count": 1,
            "attempted": True,
            "auto_advance": not paid,
            "billing_reason": "subscription_create" if number == 1 else "subscription_cycle",
            "collection_method": "charge_automatically",
            "created": created,
            "currency": self.currency,
            "customer": self.customer_id,
            "customer_email": self.email,
            "customer_name": self.name,
            "description": None,
            "due_date": None,
            "effective_at": created,
            "hosted_invoice_url": f"https://invoice.stripe.com/i/{invoice_id}",
            "invoice_pdf": f"https://pay.stripe.com/invoice/{invoice_id}/pdf",
            "lines": {
                "object": "list",
                "data": [self._line(invoice_id, quantity, created)],
                "has_more": False,
                "total_count": 1,
                "url": f"/v1/invoices/{invoice_id}/lines",
            },
            "livemode": False,
            "metadata": {},
            "next_payment_attempt": None if paid else created + 3 * 86_400,
            "number": f"9C41A7B2-{number:04d}",
            "parent": {
                "quote_details": None,
                "subscription_details": {"metadata": {}, "subscription": self.subscription_id},
                "type": "subscription_details",
            },
            "period_end": created,
            "period_start": created,
            "starting_balance": 0,
            "status": "paid" if paid else "open",
            "status_transitions": {
                "finalized_at": created,
                "marked_uncollectible_at": None,
                "paid_at": created if paid else None,
                "voided_at": None,
            },
            "subtotal": total,
            "total": total,
            "total_discount_amounts": [],
            "total_taxes": [],
        }

    def _line(self, invoice_id: str, quantity: int, created: int) -> Object:
        return {
            "id": make_id("il"),
            "object": "line_item",
            "amount": self.amount * quantity,
            "currency": self.currency,
            "description": f"{quantity} × Team (at {self.amount / 100:.2f} {self.currency.upper()} / month)",
            "discount_amounts": [],
            "discountable": True,
            "discounts": [],
            "invoice": invoice_id,
            "livemode": False,
            "metadata": {},
            "period": {"end": created + MONTH_S, "start": created},
            "pricing": {
                "price_details": {"price": self.price_id, "product": self.product_id},
                "type": "price_details",
                "unit_amount_decimal": str(self.amount),
            },
            "quantity": quantity,
            "subtotal": self.amount * quantity,
            "taxes": [],
        }


def subscription_life(
    *, email: str, name: str = "Camille Laurent", started: int | None = None
) -> list[Object]:
    """Six events of a subscription's life, in the order they happened.

    Subscribed, paid, grown from one seat to three, a payment that failed, ended. `started` is
    seconds since the epoch; the events follow each other a second apart, the customer first.
    """
    begun = int(time.time()) - 60 if started is None else started
    life = SubscriptionLife(email=email, name=name, started=begun)
    grown = life.subscription(quantity=3)
    before = {"items": life.subscription()["items"]}
    ended = life.subscription(status="canceled", quantity=3, ended=begun + 5)
    paid = life.invoice(paid=True, created=begun + 2)
    failed = life.invoice(paid=False, created=begun + 4, quantity=3, number=2)
    return [
        snapshot_event("customer.created", life.customer(), created=begun),
        snapshot_event("customer.subscription.created", life.subscription(), created=begun + 1),
        snapshot_event("invoice.paid", paid, created=begun + 2),
        snapshot_event("customer.subscription.updated", grown, created=begun + 3, previous=before),
        snapshot_event("invoice.payment_failed", failed, created=begun + 4),
        snapshot_event("customer.subscription.deleted", ended, created=begun + 5),
    ]
