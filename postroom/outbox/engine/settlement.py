"""Settling outside the relay: an adapter that handles and settles in one transaction."""

from __future__ import annotations

from postroom.base.db import Connection
from postroom.outbox import store
from postroom.outbox.model import Claim, Delivered
from postroom.outbox.policy import delivered


async def settle_within(
    conn: Connection,
    claim: Claim,
    outcome: Delivered,
    *,
    duration_ms: int,
    count: tuple[str, str] | None = None,
) -> bool:
    """Settle a claim as delivered in the caller's transaction, fence included.

    False means that the claim was taken from this worker, and the caller must roll back whatever it
    did. `count` is one more counter (name, label) to raise with it.
    """
    settlement = delivered(outcome.code, outcome.detail)
    if await store.settle_claims(conn, [(claim, settlement, duration_ms)]):
        return False
    if count is not None:
        await store.count_outcome(conn, name=count[0], label=count[1], worker=claim.worker)
    return True
