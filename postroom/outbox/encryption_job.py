"""Encrypts what came in open: published by SQL, inside somebody else's transaction."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from postroom.base.db import Connection, Pool, fetch_one, plan_by_blocks, query, transaction
from postroom.encryption.keyring import Keyring
from postroom.outbox.encryption import store_payloads
from postroom.worker.model import Job, JobContext

_SPAN = query(__package__, "fetch_encryption_span")
_ADVANCE = query(__package__, "advance_encryption")
_LIST = query(__package__, "list_plain_payloads")

EVERY_S: Final = 5.0
BATCH_MAX: Final = 200
SPAN_TRANSACTIONS: Final = 10_000

Place = tuple[int, UUID]
"""Transaction and message id of the last one that a run has encrypted."""
START: Final[Place] = (0, UUID(int=0))


def encryption_job(*, pool: Pool, keyring: Keyring) -> Job:
    """Encrypts open payloads in batches, each its own transaction. Without a key it does nothing.

    Promise: what a transaction published that has ended is encrypted by the next run.
    Does not promise: the old row's bytes are gone only after vacuum, and from the WAL when that is recycled.
    """

    async def run(context: JobContext) -> int:
        count, after = 0, START if keyring.current is not None else None
        while after is not None and not context.stop.is_set():
            async with transaction(pool) as conn:
                encrypted, after = await _encrypt_batch(conn, keyring, after)
            count += encrypted
        return count

    return Job(name="sealing", run=run, every_s=EVERY_S)


async def _encrypt_batch(conn: Connection, keyring: Keyring, after: Place) -> tuple[int, Place | None]:
    """Returns: how many were encrypted, and after which place there may be more."""
    span = await fetch_one(conn, _SPAN, SPAN_TRANSACTIONS)
    await plan_by_blocks(conn)
    rows = await conn.fetch(_LIST, max(span["low"], after[0]), span["high"], *after, BATCH_MAX)
    # What would be refused where it is read is not made believable here.
    taken = [row for row in rows if not keyring.refuses_open(row["channel"])]
    await store_payloads(conn, [(row["id"], row["payload"]) for row in taken], keyring)
    if rows and (rows[0]["found"] == BATCH_MAX or len(rows) < rows[0]["found"]):
        return len(taken), (rows[-1]["xid"], rows[-1]["id"])
    await conn.execute(_ADVANCE, span["high"])
    return len(taken), START if span["high"] < span["horizon"] else None
