"""Settling outside the relay: an adapter that handles and settles in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from postroom.base.db import Connection
from postroom.outbox import store
from postroom.outbox.model import Claim, Delivered
from postroom.outbox.policy import delivered


async def settle_within(conn: Connection, ended: Sequence[tuple[Claim, Delivered, int]]) -> bool:
    """Settle claims of one worker as delivered in the caller's transaction, fence included.

    `ended`: each with its duration in ms. False means that one was taken from this worker, and the caller
    must roll back whatever it did.
    """
    settled = [(claim, delivered(outcome.code, outcome.detail), took_ms) for claim, outcome, took_ms in ended]
    return not await store.settle_claims(conn, settled)
