"""Handlers: Python functions of the operator's, for what a route cannot say."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType

from postroom.base.errors import SettingsInvalid
from postroom.base.operator_code import SETTING
from postroom.channels.stripe.event import Event
from postroom.channels.stripe.transaction import Transaction
from postroom.channels.stripe.types import fault_in, fetch_fault_in, matches

HandlerFunction = Callable[[Event, Transaction], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Handler:
    """One function and the events it is for. `name` is part of the keys of what it publishes."""

    function: HandlerFunction
    patterns: Sequence[str]
    name: str
    fetch: bool = False
    unlisted: bool = False

    async def __call__(self, event: Event, tx: Transaction) -> None:
        await self.function(event, tx)

    @property
    def place(self) -> str:
        """File and line of it, where it is a plain function."""
        if not inspect.isfunction(self.function):
            return f"handler {self.name}"
        code = self.function.__code__
        return f"{code.co_filename}:{code.co_firstlineno}"

    def matches(self, event_type: str) -> bool:
        return any(matches(pattern, event_type) for pattern in self.patterns)


def on(
    *patterns: str, name: str | None = None, fetch: bool = False, unlisted: bool = False
) -> Callable[[HandlerFunction], Handler]:
    """Run an async function for these event types: `@on("invoice.paid")`, `@on("invoice.*")`.

    What it publishes commits with the event, once, however often the event is processed: each
    message has a key of event, handler and number, so `name` (by default the function's) must
    stay what it is. `fetch`: it needs the current object. `unlisted`: the type is newer than
    this release. It runs inside a transaction: it should be quick and must not use the network.
    """

    def decorate(function: HandlerFunction) -> Handler:
        if isinstance(function, Handler):
            return replace(function, patterns=(*patterns, *function.patterns), fetch=fetch or function.fetch)
        return Handler(function, patterns, name or function.__name__, fetch, unlisted)

    return decorate


@dataclass(frozen=True, slots=True)
class Registry:
    """All handlers, in the order of the file."""

    handlers: Sequence[Handler] = ()

    def matching(self, event_type: str) -> list[Handler]:
        return [handler for handler in self.handlers if handler.matches(event_type)]


def handlers_in(modules: Sequence[ModuleType]) -> Registry:
    """Gather what `on` marked, in the order of the files.

    Errors: `SettingsInvalid` with file and line for a handler that is not async, an unknown event type, or a
    name used twice.
    """
    found = {id(value): value for each in modules for value in vars(each).values() if type(value) is Handler}
    handlers = list(found.values())
    faults = [fault for handler in handlers for fault in _faults(handler)]
    counts = Counter(handler.name for handler in handlers)
    faults += [f"{SETTING}: the name '{name}' is used by {n} handlers" for name, n in counts.items() if n > 1]
    if faults:
        raise SettingsInvalid(faults)
    return Registry(tuple(handlers))


def _faults(handler: Handler) -> list[str]:
    faults = [fault_in(pattern, unlisted=handler.unlisted) for pattern in handler.patterns]
    if handler.fetch:
        faults += [fetch_fault_in(pattern, unlisted=handler.unlisted) for pattern in handler.patterns]
    if not handler.patterns:
        faults.append('on() names no event type, as in @on("invoice.paid")')
    if not inspect.iscoroutinefunction(handler.function):
        faults.append("a handler must be an async function")
    where = (
        f"{handler.place}: handler {handler.name}" if inspect.isfunction(handler.function) else handler.place
    )
    return [f"{where}: {fault}" for fault in faults if fault is not None]
