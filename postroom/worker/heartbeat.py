"""A worker's liveness: one row, one write every few seconds."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Final, NoReturn

from postroom.base.cancelling import cancel
from postroom.base.clock import Clock, SystemClock
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
BLOCKED_MAX_S: Final = 60.0
"""A process whose event loop is blocked for longer hangs: it beats no more, and others take over."""
BLOCKED_LOOKS: Final = 5
"""So often, `BEAT_S` apart, it is found to hang before it ends: one that was paused (SIGSTOP, a frozen
container) has not turned for long, either, and goes on within that time."""
HANGS: Final = 3
"""The exit code of a process that hung."""
PLACES_MAX: Final = 5
GRACE_S: Final = 5.0
"""After an outage all look dead to the first one that is back; so long it gives the others to beat."""


OpenPool = Callable[[], Awaitable[Pool]]


class Worker:
    """This process as a worker.

    `opens`: opens a pool for the heartbeat alone. It then beats in a thread of its own, for a handler that
    blocks the event loop, or jobs that hold all connections, must not make a living worker dead.
    Promise: while `beating`, the row is renewed every `BEAT_S`. When the worker was declared dead
    (it was stopped, or the database was away), it comes back under a new id; what it held under
    the old one can no longer be settled. With `opens`, a process whose event loop hangs ends with the exit
    code `HANGS`, at most a quarter of a minute after `BLOCKED_MAX_S`: it could do nothing more.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        role: str,
        opens: OpenPool | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._pool = pool
        self._role = role
        self._opens = opens
        self._clock = clock or SystemClock()
        self._id: int | None = None
        self._beat_at = self._back_at = self._turned_at = float("-inf")
        self.running_jobs: set[str] = set()

    @property
    def id(self) -> int:
        """The id that claims are made under. Errors: `RuntimeError` before `register`."""
        if self._id is None:
            raise RuntimeError("the worker is not registered")
        return self._id

    @property
    def may_judge(self) -> bool:
        """Whether others have had `GRACE_S` to beat since this one began, or was back after a silence."""
        return self._clock.monotonic() - self._back_at >= GRACE_S

    async def register(self, pool: Pool | None = None) -> None:
        async with (pool or self._pool).acquire() as conn:
            self._id = await store.insert_worker(
                conn,
                host=socket.gethostname(),
                pid=os.getpid(),
                role=self._role,
                version=VERSION,
            )
        self._beat_at = self._back_at = self._clock.monotonic()

    async def beat(self, pool: Pool | None = None) -> None:
        """Renew the row once, or come back under a new id if it is gone."""
        async with (pool or self._pool).acquire() as conn:
            alive = await store.mark_beat(conn, worker=self.id, jobs=sorted(tuple(self.running_jobs)))
        now = self._clock.monotonic()
        if now - self._beat_at > WORKER_TTL_S / 2:
            self._back_at = now
        self._beat_at = now
        if not alive:
            log.warning("worker.declared_dead", worker=self.id)
            await self.register(pool)

    async def beating(self) -> None:
        """Beat until cancelled; whatever the database answers, it is asked again.

        A worker that stops beating and works on is the worst one: all that it sends is sent again by others.
        """
        if self._opens is None:
            await self._beat_on(self._pool)
            return
        while True:
            await self._beating_apart(self._opens)
            log.error("worker.heartbeat_ended", worker=self._id)
            await asyncio.sleep(RETRY_S)

    async def _beating_apart(self, opens: OpenPool) -> None:
        """Until the thread ends; cancelled, it waits for the thread's last beat."""
        began: Future[Callable[[], object]] = Future()
        self._watched = asyncio.get_running_loop(), threading.get_ident()
        self._turned_at = self._clock.monotonic()  # the thread asks for it at once
        apart = partial(copy_context().run, self._beat_apart, opens, began)
        thread = threading.Thread(target=apart, name="heartbeat", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                self._turned_at = self._clock.monotonic()
                await asyncio.sleep(RETRY_S)
        finally:
            began.add_done_callback(lambda _: began.result()())
            await asyncio.to_thread(thread.join, WORKER_TTL_S)

    def _beat_apart(self, opens: OpenPool, began: Future[Callable[[], object]]) -> None:
        async def beat_until_the_end() -> None:
            loop, ending = asyncio.get_running_loop(), asyncio.Event()
            began.set_result(lambda: loop.is_closed() or loop.call_soon_threadsafe(ending.set))
            pool = await opens()
            tasks = [asyncio.create_task(self._beat_on(pool)), asyncio.create_task(ending.wait())]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await cancel(tasks)
            pool.terminate()

        asyncio.run(beat_until_the_end())

    async def _beat_on(self, pool: Pool) -> None:
        blocked_count = 0
        while True:
            pause_s = BEAT_S
            try:
                if self._clock.monotonic() - self._turned_at > BLOCKED_MAX_S and self._opens is not None:
                    blocked_count += 1
                    log.error("worker.blocked", worker=self._id)
                    if blocked_count >= BLOCKED_LOOKS:
                        self._end_process()
                else:
                    blocked_count = 0
                    async with asyncio.timeout(WORKER_TTL_S / 2):
                        await self.beat(pool)
            except DATABASE_FAILURES as error:
                log.warning("worker.beat_failed", worker=self._id, error=repr(error))
                pause_s = RETRY_S
            await asyncio.sleep(pause_s)

    def _end_process(self) -> NoReturn:
        """Say what runs and where, without any value, and end: nothing in the loop can be ended otherwise."""
        loop, thread = self._watched
        running = asyncio.current_task(loop)
        stack = traceback.walk_stack(sys._current_frames().get(thread))
        places = traceback.StackSummary.extract(stack, limit=PLACES_MAX, lookup_lines=False)
        log.critical(
            "worker.ends_as_it_hangs",
            worker=self._id,
            running=running.get_name() if running else None,
            at=[f"{each.filename}:{each.lineno} in {each.name}" for each in places],
        )
        os._exit(HANGS)

    async def leave(self) -> None:
        """Take the row away; call it when nothing is held any more."""
        async with self._pool.acquire() as conn:
            await store.delete_worker(conn, worker=self.id)
