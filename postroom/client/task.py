"""Functions of an application that run after its commit: `@task`, and what they may say and ask."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Any, Final, Generic, Literal, ParamSpec, TypeAlias, TypedDict, TypeVar, Unpack, overload
from uuid import UUID

import msgspec

from postroom.base.db import Connection
from postroom.base.errors import InvalidPayload, PublishRefused
from postroom.client.arguments import Misfit, read_other, to_builtins
from postroom.client.message import Publication
from postroom.client.publish import AnyAsync, SyncConnection, Unique, publish, publish_unique

CHANNEL: Final = "task"
SCHEDULE_KEY: Final = "schedule:"
BATCH_KEY: Final = "batch:"
"""How the key begins of a task that follows a batch."""
ATTEMPTS_MAX: Final = 25
TIMEOUT_S_MAX: Final = 86_400.0
NAME_MAX: Final = 200
UNIQUE_KEY: Final = "unique:"
UNIQUE_S_MIN: Final = 0.001
UNIQUE_S_MAX: Final = 31_536_000.0
UNIQUE_OPTIONS: Final = ("unique_for_s", "replace", "throttle_s")
LIMIT_PER_S_MIN: Final = 0.001
LIMIT_PER_S_MAX: Final = 1_000_000.0

P = ParamSpec("P")
R = TypeVar("R")


class Retry(Exception):
    """Raised by a task: try again, after so many seconds (or a timedelta), else on schedule.

    An earlier moment than the schedule's is not granted.
    """

    def __init__(
        self, reason: str = "it asks to be tried again", *, after: float | timedelta | None = None
    ) -> None:
        super().__init__(reason)
        self.after_s = after.total_seconds() if isinstance(after, timedelta) else after


class Reject(Exception):
    """Raised by a task: it can never succeed. It is a dead letter with this reason, at once."""


@dataclass(frozen=True, kw_only=True)
class BatchCounts:
    """How the deliveries of a batch have ended: `size` of them, together."""

    size: int
    delivered: int
    dead: int
    cancelled: int


class TaskRun(msgspec.Struct, frozen=True, kw_only=True, array_like=True):  # made for each run
    """What a task may know of its own run, and how it ends together with its own rows; see `current_task`.

    `attempt` counts from 1 and `message_id` stays the same: what a receiver tells repeats by. `batch`: how
    the batch ended that it follows; None where it follows none.
    """

    task: str
    message_id: UUID
    attempt: int
    attempts_max: int
    tenant: str
    key: str | None
    correlation_id: str
    batch: BatchCounts | None = None

    @property
    def scheduled_at(self) -> datetime | None:
        """The time of its schedule that this run is for; None where no schedule asked for it."""
        if self.key is None or not self.key.startswith(SCHEDULE_KEY):
            return None
        return datetime.fromisoformat(self.key.split(":", 2)[2])

    def progress(self, done: float) -> None:
        """How far it is, from 0 to 1. It is shown with the message within two seconds, and not kept.

        Call it as often as you like. Errors: `ValueError` for another number.
        """
        if not 0 <= done <= 1:
            raise ValueError(f"progress is from 0 to 1, not {done}")
        self._report(float(done))

    def _report(self, done: float) -> None:
        """Hand it on to whoever shows it."""

    @property
    def cancelled(self) -> bool:
        """Whether somebody has cancelled this run. It has 5 s more; then its process is ended. In async
        code `CancelledError` says so, too."""
        return False

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """A transaction of Postroom's database, which ends the task: what is written in it is committed
        together with the end of the task, once, or not at all. Async tasks only, and once a run.

        Errors: `RuntimeError` at its end where this run was given up meanwhile and another goes on: nothing
        is committed.
        """
        raise RuntimeError("only an async task can end within a transaction of Postroom's database")


CURRENT: Final[ContextVar[TaskRun]] = ContextVar("postroom_task")


def current_task() -> TaskRun:
    """The run that this code is in. Errors: `RuntimeError` outside of one."""
    try:
        return CURRENT.get()
    except LookupError:
        raise RuntimeError("no task of Postroom's is running here") from None


CatchUp: TypeAlias = Literal["none", "last", "all"]


@dataclass(frozen=True)
class Schedule:
    """When a task runs by itself; see `cron`. The runner checks it at start."""

    name: str
    expression: str
    zone: str = "UTC"
    catch_up: CatchUp = "last"
    args: Mapping[str, Any] = field(default_factory=dict)


class Options(TypedDict, total=False):
    """How a task is published: the parameters of `postroom.publish` that it does not fill itself. The last
    three are those of `publish_unique`."""

    key: str | None
    tenant: str | None
    correlation_id: str | None
    ordering_key: str | None
    deliver_at: datetime | None
    traceparent: str | None
    expires_at: datetime | None
    urgency: str | None
    unique_for_s: float | None
    replace: bool
    throttle_s: float | None


@dataclass(frozen=True)
class Task(Generic[P, R]):
    """A function that the runner calls. Called directly it is that function, and nothing is published."""

    name: str
    function: Callable[P, R]
    attempts: int = 8
    timeout_s: float = 60.0
    options: Options = field(default_factory=Options)
    schedules: tuple[Schedule, ...] = ()
    limit_per_s: float | None = None
    unique: float | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @cached_property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    @property
    def place(self) -> str:
        """File and line of it."""
        code = self.function.__code__
        return f"{code.co_filename}:{code.co_firstlineno}"

    def with_options(self, **options: Unpack[Options]) -> Task[P, R]:
        """The same task, published with a key, a tenant, a time and so on."""
        return replace(self, options=typing.cast("Options", {**self.options, **options}))

    @overload
    def publish(self, connection: SyncConnection, /, *args: P.args, **kwargs: P.kwargs) -> UUID: ...
    @overload
    def publish(
        self, connection: AnyAsync, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, UUID]: ...
    def publish(
        self, connection: SyncConnection | AnyAsync, /, *args: P.args, **kwargs: P.kwargs
    ) -> UUID | Coroutine[Any, Any, UUID]:
        """Run it with these arguments once this transaction has committed. Returns the message's id.

        Of a task that is `unique` the id is that of the one that there is, unless `with_options` gave it a
        key or `unique_for_s=None`. See `postroom.publish`. Errors: `PublishRefused` also for arguments that
        do not fit, naming them.
        """
        plain = self._plain_options()
        if unique := [name for name in UNIQUE_OPTIONS if name in plain]:
            raise PublishRefused(
                "goes with publish_unique, which tells what has become of it", field=unique[0]
            )
        if self.unique is None or self.options.get("key") is not None or "unique_for_s" in self.options:
            payload = self._payload(args, kwargs)
            return publish(connection, channel=CHANNEL, type=self.name, payload=payload, **plain)
        done: Unique | Coroutine[Any, Any, Unique] = self.publish_unique(connection, *args, **kwargs)
        return done.id if isinstance(done, Unique) else _id_of(done)

    def _plain_options(self) -> dict[str, Any]:
        """Without those of uniqueness that say no."""
        given: dict[str, Any] = {**self.options}
        return {
            k: v for k, v in given.items() if k not in UNIQUE_OPTIONS or (v is not None and v is not False)
        }

    def message(self, *args: P.args, **kwargs: P.kwargs) -> Publication:
        """A run with these arguments, for `postroom.publish_many` and `publish_batch`, unique or not.

        Errors: `PublishRefused` for arguments that do not fit, naming them.
        """
        own = {"channel": CHANNEL, "type": self.name, "payload": self._payload(args, kwargs)}
        return typing.cast("Publication", {**self._plain_options(), **own})

    @overload
    def publish_unique(self, connection: SyncConnection, /, *args: P.args, **kwargs: P.kwargs) -> Unique: ...
    @overload
    def publish_unique(
        self, connection: AnyAsync, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Unique]: ...
    def publish_unique(
        self, connection: SyncConnection | AnyAsync, /, *args: P.args, **kwargs: P.kwargs
    ) -> Unique | Coroutine[Any, Any, Unique]:
        """The same, at most once in a while or the last one only: with the key and one of `unique_for_s`,
        `replace` and `throttle_s` that `with_options` gave it. A task that is `unique` has both by itself:
        its arguments and its own seconds. See `postroom.publish_unique`."""
        payload = self._payload(args, kwargs)
        plain = self._plain_options()
        if self.unique is not None:
            plain["key"] = plain.get("key") or self._key_of(payload["args"])
            if not any(name in plain for name in UNIQUE_OPTIONS):
                plain["unique_for_s"] = self.unique
        return publish_unique(connection, channel=CHANNEL, type=self.name, payload=payload, **plain)

    def _key_of(self, arguments: dict[str, Any]) -> str:
        """The same for the same arguments, however they were given: with its defaults, in one order."""
        text = msgspec.json.encode(to_builtins(self.read(arguments)), order="deterministic")
        return f"{UNIQUE_KEY}{self.name}:{sha256(text).hexdigest()}"

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call, as its annotations have them. Errors: `InvalidPayload` naming one."""
        try:
            read = msgspec.convert(arguments, self._arguments, str_keys=True, dec_hook=read_other)
        except msgspec.ValidationError as error:
            reason, _, where = str(error).partition(" - at `$.")
            named = where.removesuffix("`") or next(iter(_quoted(reason)), "")
            if isinstance(error.__cause__, Misfit):
                named += error.__cause__.where
            raise InvalidPayload(reason, field=f"args.{named}" if named else "args") from None
        return msgspec.structs.asdict(read)

    def read_payload(self, payload: str) -> dict[str, Any] | None:
        """The same of a message's whole payload, at a fifth of the cost. None where it does not fit."""
        try:
            return msgspec.structs.asdict(self._payload_decoder.decode(payload).args)
        except msgspec.MsgspecError:
            return None

    def _payload(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            bound = inspect.signature(self.function).bind(*args, **kwargs).arguments
            arguments = to_builtins(bound)
            self.read(arguments)
        except InvalidPayload as error:
            raise PublishRefused(error.detail, field=(error.field or "args").removeprefix("args.")) from None
        except (TypeError, ValueError) as error:
            raise PublishRefused(f"{self.name}: {error}", field="args") from None
        return {"task": self.name, "args": arguments}

    @cached_property
    def _payload_decoder(self) -> msgspec.json.Decoder[Any]:
        fields = [("task", Literal[self.name]), ("args", self._arguments)]
        payload = msgspec.defstruct("payload", fields, forbid_unknown_fields=True)
        return msgspec.json.Decoder(payload, dec_hook=read_other)

    @cached_property
    def _arguments(self) -> type[msgspec.Struct]:
        hints = typing.get_type_hints(self.function, include_extras=True)
        fields = [
            (each.name, hints.get(each.name, Any), _default(each))
            for each in inspect.signature(self.function).parameters.values()
        ]
        return msgspec.defstruct("arguments", fields, kw_only=True, forbid_unknown_fields=True)


def task(
    name: str,
    *,
    attempts: int = 8,
    timeout_s: float = 60.0,
    limit_per_s: float | None = None,
    unique: float | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a task of a function, async or not: `@task("crm.sync")`.

    The name is kept with what is published: it must stay what it is. `attempts`: how often it is tried,
    up to 25. `timeout_s`: of one attempt; what takes longer is cut off. It may run more than once: a crash
    between its end and the ledger repeats it, unless it ends within `current_task().transaction()`.
    `limit_per_s`: how many may start in a second, all runners together, where no operator has set a limit.
    `unique`: seconds within which `publish` publishes the same arguments once.
    Errors: `ValueError` and `TypeError` for a wrong name, number or function.
    """
    if not 0 < len(name) <= NAME_MAX or not name.isprintable():
        raise ValueError(f"a task's name has 1 to {NAME_MAX} printable characters")
    if not 1 <= attempts <= ATTEMPTS_MAX:
        raise ValueError(f"task {name}: attempts is between 1 and {ATTEMPTS_MAX}")
    if not 0 < timeout_s <= TIMEOUT_S_MAX:
        raise ValueError(f"task {name}: timeout_s is above 0 and at most {TIMEOUT_S_MAX:g}")
    if limit_per_s is not None:
        _check_number(name, "limit_per_s", limit_per_s, LIMIT_PER_S_MIN, LIMIT_PER_S_MAX)
    if unique is not None:
        _check_number(name, "unique", unique, UNIQUE_S_MIN, UNIQUE_S_MAX)

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        if (
            not inspect.isfunction(function)
            or inspect.isgeneratorfunction(function)
            or inspect.isasyncgenfunction(function)
        ):
            raise TypeError(f"task {name}: it must be a function, async or not")
        for each in inspect.signature(function).parameters.values():
            if each.kind not in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
                raise TypeError(f"task {name}: parameter {each.name} must be one that has a name")
        return Task(name, function, attempts, timeout_s, limit_per_s=limit_per_s, unique=unique)

    return decorate


async def _id_of(unique: Coroutine[Any, Any, Unique]) -> UUID:
    return (await unique).id


def _check_number(task_name: str, name: str, value: object, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"task {task_name}: {name} is a number, not {type(value).__name__}")
    if not math.isfinite(value) or not least <= value <= most:
        raise ValueError(f"task {task_name}: {name} is between {least:g} and {most:g}, not {value}")


def _default(parameter: inspect.Parameter) -> Any:
    given = parameter.default
    return msgspec.NODEFAULT if given is parameter.empty else msgspec.field(default_factory=lambda: given)


def _quoted(reason: str) -> list[str]:
    return reason.split("`")[1::2]
