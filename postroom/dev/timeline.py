"""The live timeline: event → message → attempt → delivered."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from postroom.base.db import DATABASE_AWAY, Pool
from postroom.dev.chain_text import chain_text
from postroom.dev.chains import Chain, Chains
from postroom.outbox.ledger.messages import Status

LOOK_S: Final = 0.2
OPEN_SHOWN_MAX: Final = 6


class Timeline:
    """Prints each chain once, when it has ended; shows those under way below, where there is a terminal."""

    def __init__(self, *, pool: Pool, console: Console, since: datetime) -> None:
        self._chains = Chains(pool=pool, since=since)
        self._console = console
        self._counts: dict[Status, int] = dict.fromkeys(Status, 0)
        self.events_ended = 0
        self._away = False
        self._shown = ""

    def say(self, text: Text) -> None:
        """A line between the chains."""
        self._console.print(text)

    async def follow(self) -> None:
        """Until cancelled. A database that is away is shown, and looked at again."""
        live = Live(console=self._console, transient=True, auto_refresh=False)
        with live if self._console.is_terminal else nullcontext():
            while True:
                ended = await self._look()
                below = self._below()
                changed = below.plain != self._shown
                self._shown = below.plain
                # First what is below, then what goes above it: nothing is seen twice.
                live.update(below, refresh=changed and self._console.is_terminal)
                for chain in ended:
                    self._console.print(chain_text(chain))
                await asyncio.sleep(LOOK_S)

    async def _look(self) -> list[Chain]:
        try:
            ended = await self._chains.look()
        except DATABASE_AWAY as error:
            if not self._away:
                self.say(Text(f"the database is away: {type(error).__name__}", "yellow"))
            self._away = True
            return []
        self._away = False
        for chain in ended:
            self._count(chain)
        return ended

    def _count(self, chain: Chain) -> None:
        self.events_ended += chain.root is not None
        for effect in chain.effects:
            self._counts[effect.message.status] += 1

    def _below(self) -> Text:
        under_way = list(self._chains.open.values())
        shown = [chain_text(chain) for chain in under_way[:OPEN_SHOWN_MAX]]
        if len(under_way) > OPEN_SHOWN_MAX:
            shown.append(Text(f"          and {len(under_way) - OPEN_SHOWN_MAX} more under way", "dim"))
        return Text("\n").join([*shown, Text(self.summary(), "dim")])

    def summary(self) -> str:
        """One line of counts."""
        waiting = sum(
            effect.message.status in (Status.PENDING, Status.RETRY)
            for chain in self._chains.open.values()
            for effect in chain.effects
        )
        return (
            f"{self.events_ended} events, {self._counts[Status.DELIVERED]} effects delivered, "
            f"{waiting} under way, {self._counts[Status.DEAD]} dead · Ctrl-C stops"
        )
