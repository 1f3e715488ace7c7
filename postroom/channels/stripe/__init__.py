"""Stripe in: verified, booked, processed in order."""
