"""The fixture `postroom`: what was published in a test, and what becomes of it."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec

from postroom.base.db import query
from postroom.client.task import Reject
from postroom.testing.place import Place
from postroom.testing.published import Delivery, Due, Published, Sent
from postroom.testing.real import Real, send

_LIST_PUBLISHED: Final = query(__package__, "list_published")
_LIST_DUE: Final = query(__package__, "list_due")

LISTED_MAX: Final = 2_000
"""Messages of one test, which may be the largest batch and what follows it; more are a loop."""

T = TypeVar("T")


class Kit:
    """What both kinds of `postroom` do."""

    def __init__(self, place: Place, *, since: str) -> None:
        """`since`: the newest message that is none of this test's."""
        self._place = place
        self._since = since
        self._drained = set[Delivery]()
        self._rejected = set[Delivery]()
        self._clock = ExitStack()

    def freeze(self, moment: datetime | timedelta) -> None:
        """Stop the clock of this process, at a moment or so much later than it is now, until the test ends.

        `drain` takes what is due then. PostgreSQL's clock goes on: freeze it later than now, not earlier.
        """
        import time_machine

        at = datetime.now(UTC) + moment if isinstance(moment, timedelta) else moment
        if at.utcoffset() is None:
            raise ValueError("freeze: a moment has a time zone")
        self._clock.close()
        self._clock.enter_context(time_machine.travel(at, tick=False))

    def close(self) -> None:
        self._clock.close()

    async def _published(self, wanted: dict[str, Any]) -> list[Published]:
        if unknown := wanted.keys() - set(Published.__struct_fields__):
            raise TypeError(f"a message has no {', '.join(sorted(unknown))}")
        rows = _within_limit(await self._place.read(_LIST_PUBLISHED, self._since))
        everything = [msgspec.json.decode(row, type=Published) for row in rows]
        return [each for each in everything if each.matches(wanted)]

    async def _assert_published(self, wanted: dict[str, Any]) -> Published:
        found = await self._published(wanted)
        if len(found) == 1:
            return found[0]
        listed = "".join(f"\n  {each}" for each in await self._published({})) or " nothing"
        raise AssertionError(f"{len(found)} messages have {wanted}, not one. Published in this test:{listed}")

    async def _drain(self, real: Sequence[Real]) -> list[Sent]:
        drained = list[Sent]()
        while due := await self._due():
            for each in due:  # a task may publish more, and the last of a batch lets go what follows it
                if each.sent.channel in real:
                    await self._send(each)
                self._drained.add(each.delivery)
                drained.append(each.sent)
            _within_limit(drained)
        return drained

    async def _send(self, due: Due) -> None:
        try:
            await send(self._place, due.sent)
        except Reject:
            if due.in_batch:  # it has died, or what follows would wait forever
                self._rejected.add(due.delivery)
            raise

    async def _due(self) -> list[Due]:
        rows = _within_limit(await self._place.read(_LIST_DUE, self._since, datetime.now(UTC).isoformat()))
        everything = [msgspec.json.decode(row, type=Due) for row in rows]
        ended = self._drained | self._rejected
        left = [
            each.after(self._drained, self._rejected) for each in everything if each.delivery not in ended
        ]
        return [each for each in left if each is not None]


def _within_limit(found: list[T]) -> list[T]:
    if len(found) > LISTED_MAX:
        raise AssertionError(f"more than {LISTED_MAX} messages in one test: does a task publish itself?")
    return found


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it does not wait")


class Postroom(Kit):
    """What was published in this test, and what becomes of it."""

    def published(self, **wanted: Any) -> list[Published]:
        """What was published, oldest first, of a channel, key, type, tenant and so on, if they are given."""
        return _at_once(self._published(wanted))

    def assert_published(self, **wanted: Any) -> Published:
        """Exactly one message has these fields. Returns it; of `payload` only what is named is compared."""
        return _at_once(self._assert_published(wanted))

    def drain(self, *, real: Sequence[Real] = ()) -> list[Sent]:
        """What would be sent now, in order, once each: captured, unless its channel is in `real`.

        A real task is called here, in the test; real mails and webhooks go to the servers of the settings.
        What fails raises its own error, and is still there for the next `drain`; of a batch, what raises
        `Reject` has died. What follows a batch comes once all of that has ended. The ledger is not changed.
        """
        return _at_once(self._drain(real))


class AsyncPostroom(Kit):
    """The same, to be awaited; a call that is not fails the test."""

    def __init__(self, place: Place, *, since: str) -> None:
        super().__init__(place, since=since)
        self._begun = list[Coroutine[Any, Any, Any]]()

    def published(self, **wanted: Any) -> Coroutine[Any, Any, list[Published]]:
        """See `Postroom.published`."""
        return self._noted(self._published(wanted))

    def assert_published(self, **wanted: Any) -> Coroutine[Any, Any, Published]:
        """See `Postroom.assert_published`."""
        return self._noted(self._assert_published(wanted))

    def drain(self, *, real: Sequence[Real] = ()) -> Coroutine[Any, Any, list[Sent]]:
        """See `Postroom.drain`."""
        return self._noted(self._drain(real))

    def _noted(self, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        self._begun.append(work)
        return work

    def close(self) -> None:
        super().close()
        left = [each for each in self._begun if inspect.getcoroutinestate(each) == inspect.CORO_CREATED]
        for each in left:
            each.close()
        if left:
            raise AssertionError("a call of `postroom` was not awaited: this test waits")
