"""A worker's liveness: one row, one write every few seconds."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Final

from postroom.base.db import DATABASE_FAILURES, Pool
from postroom.base.log import get_logger
from postroom.base.version import VERSION
from postroom.worker import store

log = get_logger(__name__)

BEAT_S: Final = 2.0
RETRY_S: Final = 0.5
"""After a failed beat. Until one succeeds, the runner looks dead to all who read the ledger."""
WORKER_TTL_S: Final = 10.0
"""Without a beat for so long, a worker is dead: its claims are taken over and fenced off."""


class Worker:
    """This process as a worker.

    `pool`: best one of its own, for a beat that waits behind slow statements makes a living worker dead.
    Promise: while `beating`, the row is renewed every `BEAT_S`. When the worker was declared dead
    (it was stopped, or the database was away), it comes back under a new id; what it held under
    the old one can no longer be settled.
    """

    def __init__(self, *, pool: Pool, role: str) -> None:
        self._pool = pool
        self._role = role
        self._id: int | None = None
        self.running_jobs: set[str] = set()

    @property
    def id(self) -> int:
        """The id that claims are made under. Errors: `RuntimeError` before `register`."""
        if self._id is None:
            raise RuntimeError("the worker is not registered")
        return self._id

    async def register(self) -> None:
        async with self._pool.acquire() as conn:
            self._id = await store.insert_worker(
                conn,
                host=socket.gethostname(),
                pid=os.getpid(),
                role=self._role,
                version=VERSION,
            )

    async def beat(self) -> None:
        """Renew the row once, or come back under a new id if it is gone."""
        async with self._pool.acquire() as conn:
            alive = await store.mark_beat(conn, worker=self.id, jobs=sorted(self.running_jobs))
        if not alive:
            log.warning("worker.declared_dead", worker=self.id)
            await self.register()

    async def beating(self) -> None:
        """Beat until cancelled; whatever the database answers, it is asked again.

        A worker that stops beating and works on is the worst one: all that it sends is sent again by others.
        """
        while True:
            pause_s = BEAT_S
            try:
                async with asyncio.timeout(WORKER_TTL_S / 2):
                    await self.beat()
            except DATABASE_FAILURES as error:
                log.warning("worker.beat_failed", worker=self._id, error=repr(error))
                pause_s = RETRY_S
            await asyncio.sleep(pause_s)

    async def leave(self) -> None:
        """Take the row away; call it when nothing is held any more."""
        async with self._pool.acquire() as conn:
            await store.delete_worker(conn, worker=self.id)
