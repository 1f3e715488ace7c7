"""Faults while it works: real processes, real load, a seeded plan, and a comparison at the end."""
