"""The two ways in: Stripe's webhooks and published events."""
