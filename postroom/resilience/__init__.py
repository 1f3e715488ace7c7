"""Backoff, circuit breakers and group commit."""
