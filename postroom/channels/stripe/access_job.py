"""The job `stripe-access`: access equals the mirror, also where something else has written that."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from postroom.base.db import Pool, transaction
from postroom.channels.stripe.access_store import compare, set_grace
from postroom.encryption.keyring import Keyring
from postroom.worker.model import Job, JobContext

NAME: Final = "stripe-access"
REST: Final = timedelta(hours=1)
BATCH_MAX: Final = 1_000
BATCHES_MAX: Final = 50
"""So many in one run: a job shows by its end that it is well."""


def access_job(*, pool: Pool, keyring: Keyring, grace: timedelta) -> Job:
    """Makes access of what the mirror has from before, or from runners of before, and writes down the grace.

    Each batch is its own transaction and locks only what it mends; the next run goes on where this one ended.
    """

    async def run(context: JobContext) -> int:
        async with transaction(pool) as conn:
            await set_grace(conn, grace)
        rest = timedelta(0) if context.requested else REST
        mended = 0
        for _ in range(BATCHES_MAX):
            async with transaction(pool) as conn:
                done = await compare(conn, keyring, rest=rest, batch_max=BATCH_MAX)
            if done is None or context.stop.is_set():
                break
            mended += done
        return mended

    return Job(name=NAME, run=run, every_s=2.0)
