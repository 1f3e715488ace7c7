"""Doing to a database and to the way there what the plan says, and undoing it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from chaos.database import Database
from chaos.plan import Act, Kind, Planned
from postroom.base.db import DATABASE_FAILURES
from postroom.postgres.errors import PostgresError

SLOW_S: Final = 0.15
BACKENDS_SHARE: Final = 0.5


class DatabaseFaults:
    """`acts`: for each kind what inflicts it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.acts: Mapping[str, Act] = {
            Kind.POSTMASTER_KILLED: self._going_down(signal.SIGKILL),
            Kind.DATABASE_STOPPED_AT_ONCE: self._going_down(signal.SIGQUIT),
            Kind.BACKENDS_KILLED: self._kill_backends,
            Kind.BACKEND_FROZEN: self._freeze_backend,
            Kind.FAIL_OVER: self._fail_over,
            Kind.STANDBY_KILLED: self._lose_standby,
            Kind.CONNECTIONS_CUT: self._cut,
            Kind.CONNECTIONS_HALF_OPEN: self._swallow,
            Kind.NETWORK_SLOW: self._slow_down,
        }

    def heal(self) -> None:
        for link in self._database.links:
            link.heal()

    def _going_down(self, number: signal.Signals) -> Act:
        async def act(fault: Planned) -> bool:
            await self._database.go_down(number, down_s=fault.duration_s)
            return True

        return act

    async def _fail_over(self, _: Planned) -> bool:
        return await self._database.fail_over()

    async def _lose_standby(self, fault: Planned) -> bool:
        await self._database.lose_standby(down_s=fault.duration_s)
        return True

    async def _kill_backends(self, fault: Planned) -> bool:
        """PostgreSQL cannot trust its memory then: it ends all sessions and recovers."""
        pids = await self._backends()
        for pid in pids[:1] if fault.draw < BACKENDS_SHARE else pids:
            _signal(pid, signal.SIGKILL)
        return bool(pids)

    async def _freeze_backend(self, fault: Planned) -> bool:
        pids = await self._backends()
        if not pids:
            return False
        pid = pids[fault.target % len(pids)]
        _signal(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.duration_s)
        finally:
            _signal(pid, signal.SIGCONT)
        return True

    async def _backends(self) -> list[int]:
        """None while the database is down by another fault."""
        with suppress(*DATABASE_FAILURES, PostgresError):
            return await self._database.backends()
        return []

    async def _cut(self, _: Planned) -> bool:
        for link in self._database.links:
            link.cut()
        return True

    async def _swallow(self, fault: Planned) -> bool:
        for link in self._database.links:
            link.swallow()
        try:
            await asyncio.sleep(fault.duration_s)
        finally:
            for link in self._database.links:
                link.heal()
        return True

    async def _slow_down(self, fault: Planned) -> bool:
        for link in self._database.links:
            link.delay_s = SLOW_S
        await asyncio.sleep(fault.duration_s)
        for link in self._database.links:
            link.delay_s = 0.0
        return True


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
