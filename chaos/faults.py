"""Doing to an installation what the plan says, and undoing it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from chaos.installation import Installation
from chaos.outside import GOOD, MOODS
from chaos.plan import Kind, Planned
from chaos.process import ManagedProcess
from postroom.base.db import DATABASE_FAILURES
from postroom.dev.stripe_api import Fault as StripeFault
from postroom.postgres.errors import PostgresError

BALLAST: Final = "ballast"
BALLAST_CHUNK: Final = b"\0" * 65_536
SLOW_S: Final = 0.15
BACKENDS_SHARE: Final = 0.5

Act = Callable[[Planned], Awaitable[bool]]


class Faults:
    """`inflict` returns when the fault is over, and whether it could be inflicted at all."""

    def __init__(self, installation: Installation) -> None:
        self._on = installation
        self._database = installation.database
        self._acts: dict[Kind, Act] = {
            Kind.RUNNER_KILLED: self._killing(installation.runners),
            Kind.RUNNER_FROZEN: self._freezing(installation.runners),
            Kind.API_KILLED: self._killing(installation.apis),
            Kind.API_FROZEN: self._freezing(installation.apis),
            Kind.RECEIVER_KILLED: self._killing(installation.receivers),
            Kind.RECEIVER_FROZEN: self._freezing(installation.receivers),
            Kind.MAILBOX_KILLED: self._killing(installation.mailboxes),
            Kind.MAILBOX_FROZEN: self._freezing(installation.mailboxes),
            Kind.POSTMASTER_KILLED: self._going_down(signal.SIGKILL),
            Kind.DATABASE_STOPPED_AT_ONCE: self._going_down(signal.SIGQUIT),
            Kind.BACKENDS_KILLED: self._kill_backends,
            Kind.BACKEND_FROZEN: self._freeze_backend,
            Kind.FAIL_OVER: self._fail_over,
            Kind.STANDBY_KILLED: self._lose_standby,
            Kind.CONNECTIONS_CUT: self._cut,
            Kind.CONNECTIONS_HALF_OPEN: self._swallow,
            Kind.NETWORK_SLOW: self._slow_down,
            Kind.DISK_FULL: self._fill_disk,
            Kind.RECEIVERS_MISBEHAVE: self._misbehaving(installation.receivers),
            Kind.MAILBOX_MISBEHAVES: self._misbehaving(installation.mailboxes),
            Kind.STRIPE_AWAY: self._lose_stripe,
        }

    async def inflict(self, fault: Planned) -> bool:
        return await self._acts[fault.kind](fault)

    async def heal(self) -> None:
        """Whatever is still wrong is right afterwards."""
        for link in self._database.links:
            link.heal()
        (self._on.exports_dir / BALLAST).unlink(missing_ok=True)
        self._on.stripe.recover()
        for process in self._on.processes:
            process.signal(signal.SIGCONT)
            self._on.set_mood(process, GOOD)
            await process.start()

    def _killing(self, processes: Sequence[ManagedProcess]) -> Act:
        async def act(fault: Planned) -> bool:
            victim = processes[fault.target % len(processes)]
            await victim.kill()
            await asyncio.sleep(fault.duration_s)
            await victim.start()
            return True

        return act

    def _freezing(self, processes: Sequence[ManagedProcess]) -> Act:
        async def act(fault: Planned) -> bool:
            victim = processes[fault.target % len(processes)]
            victim.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(fault.duration_s)
            finally:
                victim.signal(signal.SIGCONT)
            return True

        return act

    def _misbehaving(self, processes: Sequence[ManagedProcess]) -> Act:
        async def act(fault: Planned) -> bool:
            bad = [mood for mood in MOODS if mood != GOOD]
            victim = processes[fault.target % len(processes)]
            self._on.set_mood(victim, bad[int(fault.draw * len(bad))])
            await asyncio.sleep(fault.duration_s)
            self._on.set_mood(victim, GOOD)
            return True

        return act

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

    async def _fill_disk(self, fault: Planned) -> bool:
        """Exports have a file system of their own, so that it can be filled to the last byte."""
        ballast = self._on.exports_dir / BALLAST
        try:
            await asyncio.to_thread(fill, ballast)
            await asyncio.sleep(fault.duration_s)
        finally:
            ballast.unlink(missing_ok=True)
        return True

    async def _lose_stripe(self, fault: Planned) -> bool:
        ways = (StripeFault.SERVER_ERROR, StripeFault.RATE_LIMITED, StripeFault.HANG)
        self._on.stripe.fail(ways[int(fault.draw * len(ways))])
        await asyncio.sleep(fault.duration_s)
        self._on.stripe.recover()
        return True


def fill(ballast: Path) -> None:
    """Write until there is no room."""
    with ballast.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(BALLAST_CHUNK)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
