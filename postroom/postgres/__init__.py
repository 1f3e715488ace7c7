"""A local PostgreSQL, found on the machine or embedded, started and stopped by us.

`server.LocalPostgres` runs one, `resolve.resolve` decides whether one is needed, `state.running` finds
one. This file imports nothing, for the launcher runs on the standard library alone.
"""
