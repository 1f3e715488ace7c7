"""Seals what came in open: published by SQL, inside somebody else's transaction."""

from __future__ import annotations

from typing import Final

from app.base.db import Connection, Pool, query, transaction
from app.base.sealing import Keyring
from app.outbox.sealed import store_payloads
from app.worker.model import Job, JobContext

_SPAN = query(__package__, "fetch_sealing_span")
_ADVANCE = query(__package__, "advance_sealing")
_LIST = query(__package__, "list_plain_payloads")

EVERY_S: Final = 5.0
BATCH_MAX: Final = 200
SPAN_TRANSACTIONS: Final = 10_000


def sealing_job(*, pool: Pool, keyring: Keyring) -> Job:
    """Seals open payloads in batches, each its own transaction. Without a key it does nothing.

    Promise: what a transaction published that has ended is sealed by the next run. Non-promise: the old
    row's bytes are gone only after vacuum, and from the WAL when that is recycled.
    """

    async def run(context: JobContext) -> int:
        count, more = 0, keyring.current is not None
        while more and not context.stop.is_set():
            async with transaction(pool) as conn:
                sealed, more = await _seal_batch(conn, keyring)
            count += sealed
        return count

    return Job(name="sealing", run=run, every_s=EVERY_S)


async def _seal_batch(conn: Connection, keyring: Keyring) -> tuple[int, bool]:
    """Returns: how many were sealed, and whether there may be more."""
    span = await conn.fetchrow(_SPAN, SPAN_TRANSACTIONS)
    if span is None:
        raise RuntimeError("an upsert came back empty")
    rows = await conn.fetch(_LIST, span["low"], span["high"], BATCH_MAX)
    await store_payloads(conn, [(row["id"], row["payload"]) for row in rows], keyring)
    if len(rows) == BATCH_MAX:
        return len(rows), True
    await conn.execute(_ADVANCE, span["high"])
    return len(rows), span["high"] < span["horizon"]
