"""The move of a tenant to another ledger: each step is done once, whoever is killed around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from postroom.base.clock import Clock
from postroom.base.errors import Conflict, Unavailable
from postroom.ledgers.directory import newest
from postroom.ledgers.model import Busy, Entry, Ledger, Open, Stage, Step, stage_of

PASSES_MAX: Final = 20
SHORT_PASS_S: Final = 0.3
"""A pass over the keys that takes no longer may be made while nobody takes the tenant."""
RETRY_S: Final = 0.4
DRAIN_POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Rows:
    """A tenant's rows in the two ledgers of its move."""

    stage: Stage
    at_source: Entry | None
    at_target: Entry | None

    @property
    def moving(self) -> Entry:
        """The target's, in the stages in which there is one."""
        if self.at_target is None:
            raise Conflict("the tenant does not move")
        return self.at_target


class StillOpen(Unavailable):
    """The time is over and the tenant still has something at its source. Run it again, any time."""

    def __init__(self, source: str, open_: Sequence[Open]) -> None:
        counts = ", ".join(f"{each.channel} {each.open} ({each.parked} parked)" for each in open_)
        super().__init__(f"not ended yet in {source}: {counts}. New messages wait; run the command again")


class Mover:
    """One tenant's move. Run again after a crash, it goes on with the step that its rows in the ledgers say.

    Promise: a key is a duplicate in the new ledger as it was in the old one; what is published in the new
    one is delivered after all that the old one had; at no time do both take the tenant.
    Does not promise: that somebody takes it at each moment. Between two steps nobody does.
    """

    def __init__(
        self,
        tenant: str,
        *,
        source: Ledger,
        target: Ledger,
        others: Sequence[Ledger] = (),
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
        say: Callable[[str], None] = lambda _: None,
        wait_s: float = 300.0,
    ) -> None:
        self.tenant = tenant
        self.source = source
        self.target = target
        self.others = others
        self._clock = clock
        self._sleep = sleep
        self._say = say
        self._until = clock.monotonic() + wait_s

    async def look(self) -> Rows:
        """Both rows, and what is to be done next: it is done only if they are still the same by then."""
        at_source = await self.source.fetch_entry(self.tenant)
        at_target = await self.target.fetch_entry(self.tenant)
        stage = stage_of(at_source, at_target, source=self.source.name, target=self.target.name)
        return Rows(stage, at_source, at_target)

    async def run(self) -> None:
        """Errors: `StillOpen` and `Busy` when the time is over; `Conflict` where somebody else moves it."""
        while True:
            rows = await self.look()
            match rows.stage:
                case Stage.BEGIN:
                    await self.begin(rows)
                case Stage.COPY:
                    await self.copy_and_fence(rows)
                case Stage.OPEN:
                    await self.open(rows)
                case Stage.DRAIN:
                    await self.drain(rows)
                case Stage.FINISH:
                    await self.finish(rows)
                case Stage.DONE:
                    await self._tell_others()
                    return
                case other:
                    assert_never(other)

    async def abort(self) -> None:
        """Leave it where it was. Errors: `Conflict` once the target has taken the tenant."""
        rows = await self.look()
        if rows.stage in (Stage.DRAIN, Stage.FINISH, Stage.DONE):
            raise Conflict(f"{self.target.name} takes it already: let the move end, then move it back")
        at_source, at_target = rows.at_source, rows.at_target
        back = Entry(self.source.name, await self._next_epoch())
        # The target first: whoever still moves it then cannot open it there.
        if at_target is not None and not await self.target.change(
            self.tenant, seen=at_target, to=back, waits=False
        ):
            raise self._conflict()
        if at_source is not None and at_source.ledger != self.source.name:
            await self.source.change(self.tenant, seen=at_source, to=back, waits=False)
            await self.source.copy_cursors(self.tenant, self.source)  # what was left to nobody meanwhile
        await self._tell_others()

    async def begin(self, rows: Rows) -> None:
        self._say(f"{self.target.name} refuses it until it has its keys")
        to = Entry(self.source.name, await self._next_epoch(), Step.COPYING, self.source.name)
        await self._change(self.target, seen=rows.at_target, to=to)

    async def copy_and_fence(self, rows: Rows) -> None:
        at_target = rows.moving
        await self.source.copy_suppressions(self.target)
        since = at_target.copied_xid
        for _ in range(PASSES_MAX):
            begun = self._clock.monotonic()
            since = await self._copy_keys(at_target, since)
            if self._clock.monotonic() - begun <= SHORT_PASS_S:
                break
        self._say(f"{self.source.name} refuses it from now on")
        to = Entry(self.target.name, at_target.epoch + 1, Step.FENCED, self.source.name)
        await self._change(self.source, seen=rows.at_source, to=to)

    async def open(self, rows: Rows) -> None:
        at_target = rows.moving
        await self._copy_keys(at_target, at_target.copied_xid)
        await self.source.copy_belongings(self.tenant, self.target)
        to = Entry(self.target.name, at_target.epoch + 1, Step.HELD, self.source.name)
        if not await self.target.change(self.tenant, seen=at_target, to=to, waits=False):
            raise self._conflict()
        self._say(f"{self.target.name} takes it, and delivers nothing of it yet")
        await self._tell_others()

    async def drain(self, rows: Rows) -> None:
        while open_ := await self.source.count_open(self.tenant):
            if self._clock.monotonic() >= self._until:
                raise StillOpen(self.source.name, open_)
            self._say(f"{self.source.name} still has {sum(each.open for each in open_)} to deliver")
            await self._sleep(DRAIN_POLL_S)
        await self._copy_keys(rows.moving, rows.moving.copied_xid)  # of what events have caused since
        await self.source.copy_suppressions(self.target)
        await self.source.copy_cursors(self.tenant, self.target)
        to = Entry(self.target.name, await self._next_epoch())
        await self._change(self.target, seen=rows.moving, to=to)

    async def finish(self, rows: Rows) -> None:
        count = 0
        while some := await self.target.release(self.tenant):
            count += some
        self._say(f"{self.target.name} delivers it: {count} had waited")
        if rows.at_source is not None:
            to = Entry(self.target.name, rows.moving.epoch)
            await self.source.change(self.tenant, seen=rows.at_source, to=to, waits=False)

    async def _copy_keys(self, at_target: Entry, since: int | None) -> int:
        horizon = await self.source.fetch_horizon()
        count = 0
        async for keys in self.source.list_keys(self.tenant, since):
            await self.target.insert_keys(self.tenant, self.source.name, keys)
            count += len(keys)
        await self.target.mark_copied(self.tenant, at_target, horizon)
        self._say(f"keys copied: {count}")
        return horizon

    async def _change(self, ledger: Ledger, *, seen: Entry | None, to: Entry) -> None:
        """What makes publishers wait is tried for short times. Errors: `Busy` when the time is over."""
        while True:
            try:
                if await ledger.change(self.tenant, seen=seen, to=to, waits=True):
                    return
                raise self._conflict()
            except Busy as busy:
                if self._clock.monotonic() >= self._until:
                    raise
                self._say(f"waiting: {busy.detail}")
                await self._sleep(RETRY_S)

    async def _next_epoch(self) -> int:
        copies = [await each.fetch_directory() for each in (self.source, self.target, *self.others)]
        return newest(copies).epoch + 1

    async def _tell_others(self) -> None:
        known = newest([await self.source.fetch_directory(), await self.target.fetch_directory()])
        for ledger in self.others:
            await ledger.put_newer(known)

    def _conflict(self) -> Conflict:
        return Conflict(
            f"somebody else moves {self.tenant!r}, or stopped its move: look at 'postroom ledger list'"
        )
