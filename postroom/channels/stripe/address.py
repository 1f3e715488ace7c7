"""Where an object is retrieved in Stripe's API."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from postroom.channels.stripe.event import Event

# fmt: off
RETRIEVABLE: Final = frozenset((
    "account", "application_fee", "billing.alert", "billing.credit_grant", "billing.meter",
    "billing_portal.configuration", "charge", "checkout.session", "climate.order", "coupon",
    "credit_note", "customer", "dispute", "entitlements.feature", "file",
    "financial_connections.account", "identity.verification_session", "invoice", "invoiceitem",
    "issuing.authorization", "issuing.card", "issuing.cardholder", "issuing.dispute",
    "issuing.transaction", "mandate", "payment_intent", "payment_link", "payment_method", "payout",
    "plan", "price", "product", "promotion_code", "quote", "radar.early_fraud_warning", "refund",
    "reporting.report_run", "review", "setup_intent", "shipping_rate", "source", "subscription",
    "subscription_item", "subscription_schedule", "tax.registration", "tax_rate",
    "terminal.location", "terminal.reader", "test_helpers.test_clock", "topup", "transfer",
    "treasury.financial_account", "treasury.outbound_payment", "webhook_endpoint",
))
# fmt: on
"""Objects that can be retrieved by id, at the address that their name gives."""


def address(event: Event) -> str | None:
    """The path of the event's object; None where it cannot be retrieved."""
    if event.thin:
        url = event.object.get("url")
        return url if isinstance(url, str) and url.startswith(("/v1/", "/v2/")) else None
    if event.object_id is None or event.object_type not in RETRIEVABLE:
        return None
    collection = event.object_type.replace(".", "/") + "s"
    return f"/v1/{collection}/{quote(event.object_id, safe='')}"
