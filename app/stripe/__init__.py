"""Stripe in: verified, booked, processed in order. Handlers start with `from app.stripe import on`."""

from app.stripe.handlers import on as on
