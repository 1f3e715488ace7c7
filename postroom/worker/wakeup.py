"""Hearing of new work in milliseconds, without making busy publishers notify."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from postroom.base.db import DATABASE_AWAY, DATABASE_FAILURES, Dsn, Pool, connect
from postroom.base.log import get_logger
from postroom.worker import store
from postroom.worker.heartbeat import Worker

log = get_logger(__name__)

NOTIFY_CHANNEL: Final = "postroom"
POLL_S: Final = 1.0
PROVE_S: Final = 15.0
RECONNECT_S: Final = 1.0


class Wakeup:
    """One LISTEN connection for the process, and a flag for each channel.

    Promise: after `sleeping_on(channel)` returned, a publish that starts later sets the flag as
    soon as it commits. Does not promise: a publish that had begun before; looking again finds it,
    after `POLL_S` at the latest. Without a direct connection (PgBouncer) there is only the polling.
    """

    def __init__(self, *, dsn: Dsn, pool: Pool, worker: Worker, pooler: bool = False) -> None:
        self._dsn = dsn
        self._pool = pool
        self._worker = worker
        self._pooler = pooler
        self._flags: dict[str, asyncio.Event] = {}
        self._registered: dict[str, int] = {}
        self._listening = False

    def flag(self, channel: str) -> asyncio.Event:
        return self._flags.setdefault(channel, asyncio.Event())

    def wake_all(self) -> None:
        for flag in self._flags.values():
            flag.set()

    async def sleeping_on(self, channel: str) -> bool:
        """Ask publishers to notify. True: they had not been asked, so look once more, then `wait`."""
        if not self._listening or self._registered.get(channel) == self._worker.id:
            return False
        self.flag(channel).clear()
        async with self._pool.acquire() as conn:
            await store.insert_sleeper(conn, channel=channel, worker=self._worker.id)
        self._registered[channel] = self._worker.id
        return True

    async def wait(self, channel: str, timeout_s: float) -> None:
        """Sleep until notified, or for `timeout_s` at most. Clears the flag: look for work after it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self.flag(channel).wait()
        self.flag(channel).clear()

    async def awake_on(self, channel: str) -> None:
        """Publishers need not notify while this worker is busy anyway."""
        worker = self._registered.pop(channel, None)
        if worker is not None:
            async with self._pool.acquire() as conn:
                await store.delete_sleeper(conn, channel=channel, worker=worker)

    async def listening(self) -> None:
        """Keep the LISTEN connection until cancelled; proves it alive, opens it again when it is lost."""
        while self._pooler:  # nothing can be heard through it
            await asyncio.sleep(PROVE_S)
        while True:
            try:
                await self._listen()
            except DATABASE_FAILURES as error:
                log.warning("wakeup.connection_lost", error=repr(error))
            finally:
                self._listening = False
                self.wake_all()
            await self._sleep_no_more()
            await asyncio.sleep(RECONNECT_S)

    async def _sleep_no_more(self) -> None:
        """Nobody hears them, so publishers must not notify: it is one lock for all. Done at each try."""
        self._registered.clear()
        try:
            async with self._pool.acquire() as conn:
                await store.delete_sleepers(conn, worker=self._worker.id)
        except DATABASE_FAILURES as error:
            log.warning("wakeup.sleepers_left", error=repr(error))

    async def _listen(self) -> None:
        conn = await connect(self._dsn, application="postroom wakeup")
        try:
            await conn.add_listener(NOTIFY_CHANNEL, self._notified)
            await self._sleep_no_more()
            self._listening = True
            while True:
                await asyncio.sleep(PROVE_S)
                await conn.fetchval("select 1", timeout=5)
        finally:
            with suppress(*DATABASE_AWAY):
                await conn.close(timeout=2)

    def _notified(self, _conn: Any, _pid: int, _channel: str, payload: object) -> None:
        flag = self._flags.get(str(payload))
        if flag is not None:
            flag.set()
