"""Handlers: Python functions of the operator's, for what a route cannot say."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from postroom.base.errors import SettingsInvalid
from postroom.channels.stripe.event import Event
from postroom.channels.stripe.transaction import Transaction
from postroom.channels.stripe.types import fault_in, fetch_fault_in, matches

MODULE: Final = "postroom_handlers"

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


def load_handlers(path: Path) -> Registry:
    """Run the operator's file, with its folder on the import path, and gather what `on` marked.

    Errors: `SettingsInvalid` with file and line for a file that does not run, a handler that is
    not async, an unknown event type, or a name used twice.
    """
    if not path.is_file():
        raise SettingsInvalid([f"POSTROOM_HANDLERS: there is no file {path}"])
    spec = importlib.util.spec_from_file_location(MODULE, path)
    if spec is None or spec.loader is None:
        raise SettingsInvalid([f"POSTROOM_HANDLERS: {path} is no Python file"])
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        # What lies beside the file can be imported, wherever the process was started.
        sys.path.insert(0, folder)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise SettingsInvalid([f"{path}:{error.lineno}: {error.msg}"]) from error
    except Exception as error:
        raise SettingsInvalid([f"{path}:{_line(error, path)}: {type(error).__name__}: {error}"]) from error
    handlers = [value for value in vars(module).values() if isinstance(value, Handler)]
    faults = [fault for handler in handlers for fault in _faults(handler, path)]
    counts = Counter(handler.name for handler in handlers)
    faults += [f"{path}: the name '{name}' is used by {n} handlers" for name, n in counts.items() if n > 1]
    if faults:
        raise SettingsInvalid(faults)
    return Registry(tuple(handlers))


def _faults(handler: Handler, path: Path) -> list[str]:
    where = f"{path}:{handler.function.__code__.co_firstlineno}" if _is_plain(handler) else str(path)
    faults = [fault_in(pattern, unlisted=handler.unlisted) for pattern in handler.patterns]
    if handler.fetch:
        faults += [fetch_fault_in(pattern, unlisted=handler.unlisted) for pattern in handler.patterns]
    if not handler.patterns:
        faults.append('on() names no event type, as in @on("invoice.paid")')
    if not inspect.iscoroutinefunction(handler.function):
        faults.append("a handler must be an async function")
    return [f"{where}: handler {handler.name}: {fault}" for fault in faults if fault is not None]


def _is_plain(handler: Handler) -> bool:
    return inspect.isfunction(handler.function)


def _line(error: Exception, path: Path) -> int:
    """The last line of the file that was running when it failed."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno or 1 for f in reversed(frames) if f.filename == str(path)), 1)
