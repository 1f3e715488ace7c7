"""Encryption at rest: keys, and what they encrypt."""
