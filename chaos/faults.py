"""Doing to an installation what the plan says, and undoing it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from chaos.database_faults import DatabaseFaults
from chaos.installation import Installation
from chaos.outside import GOOD, MOODS
from chaos.plan import Act, Kind, Planned
from chaos.process import ManagedProcess
from postroom.dev.stripe_api import Fault as StripeFault

BALLAST: Final = "ballast"
BALLAST_CHUNK: Final = b"\0" * 65_536


class Faults:
    """`inflict` returns when the fault is over, and whether it could be inflicted at all."""

    def __init__(self, installation: Installation, database: DatabaseFaults | None) -> None:
        """`database`: None where it has a plan of its own."""
        self._on = installation
        self._database = database
        self._acts: dict[str, Act] = {
            Kind.RUNNER_KILLED: self._killing(installation.runners),
            Kind.RUNNER_FROZEN: self._freezing(installation.runners),
            Kind.API_KILLED: self._killing(installation.apis),
            Kind.API_FROZEN: self._freezing(installation.apis),
            Kind.RECEIVER_KILLED: self._killing(installation.receivers),
            Kind.RECEIVER_FROZEN: self._freezing(installation.receivers),
            Kind.MAILBOX_KILLED: self._killing(installation.mailboxes),
            Kind.MAILBOX_FROZEN: self._freezing(installation.mailboxes),
            Kind.DISK_FULL: self._fill_disk,
            Kind.RECEIVERS_MISBEHAVE: self._misbehaving(installation.receivers),
            Kind.MAILBOX_MISBEHAVES: self._misbehaving(installation.mailboxes),
            Kind.STRIPE_AWAY: self._lose_stripe,
            **(database.acts if database else {}),
        }

    async def inflict(self, fault: Planned) -> bool:
        return await self._acts[fault.kind](fault)

    async def heal(self) -> None:
        """Whatever is still wrong is right afterwards."""
        if self._database is not None:
            self._database.heal()
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
