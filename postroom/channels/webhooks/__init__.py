"""Webhooks out: endpoints of tenants, Standard Webhooks signatures, one guarded HTTP client."""
