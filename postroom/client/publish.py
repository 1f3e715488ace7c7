"""Publishing in the caller's own transaction: `postroom.publish`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, Unpack, cast, overload
from uuid import UUID

from postroom.base.db import query
from postroom.base.errors import PublishRefused
from postroom.client.drivers import Values, driver_of, is_async
from postroom.client.message import Publication, batch, parameters
from postroom.client.refusal import refusals

_PUBLISH: Final = query(__package__, "publish")
_PUBLISH_MANY: Final = query(__package__, "publish_many")
_PUBLISH_UNIQUE: Final = query(__package__, "publish_unique")
_PUBLISH_BATCH: Final = query(__package__, "publish_batch")

T = TypeVar("T")


Result: TypeAlias = Literal["published", "replaced", "skipped"]


class Unique(NamedTuple):
    """What has become of a message that `publish_unique` was given. `id`: of the one that there is."""

    id: UUID
    result: Result


class Batch(NamedTuple):
    """What `publish_batch` has published. `then`: the id of what follows; None where all was known."""

    then: UUID | None
    ids: list[UUID]


class SyncConnection(Protocol):
    """A connection of psycopg, psycopg2 or Django, or a Connection or Session of SQLAlchemy."""

    def commit(self) -> None: ...


class AsyncConnection(Protocol):
    """An AsyncConnection of psycopg, or an AsyncConnection or AsyncSession of SQLAlchemy."""

    def commit(self) -> Coroutine[Any, Any, None]: ...


class AsyncpgConnection(Protocol):
    """A connection of asyncpg, its own or a pool's."""

    def is_in_transaction(self) -> bool: ...


AnyAsync: TypeAlias = AsyncConnection | AsyncpgConnection


@overload
def publish(connection: SyncConnection, /, **message: Unpack[Publication]) -> UUID: ...
@overload
def publish(connection: AnyAsync, /, **message: Unpack[Publication]) -> Coroutine[Any, Any, UUID]: ...
def publish(
    connection: SyncConnection | AnyAsync, /, **message: Unpack[Publication]
) -> UUID | Coroutine[Any, Any, UUID]:
    """Publish one message in the transaction of this connection or session. Returns its id.

    The same (channel, tenant, key) again publishes nothing and returns the first id. An async connection
    gives a coroutine to await.
    Errors: `PublishRefused` for what cannot be published and for a connection that is closed, in no
    transaction, or in one that has failed; `TenantElsewhere` for a tenant that has moved to another ledger.
    Any other error is the driver's own. After each, roll back.
    Transaction: the caller's; nothing is sent unless it commits.
    """
    return _run(connection, _PUBLISH, parameters(message), _only)


@overload
def publish_many(connection: SyncConnection, messages: Sequence[Publication], /) -> list[UUID]: ...
@overload
def publish_many(
    connection: AnyAsync, messages: Sequence[Publication], /
) -> Coroutine[Any, Any, list[UUID]]: ...
def publish_many(
    connection: SyncConnection | AnyAsync, messages: Sequence[Publication], /
) -> list[UUID] | Coroutine[Any, Any, list[UUID]]:
    """Publish up to 1,000 messages at once, all or none. Returns their ids, in order; see `publish`."""
    return _run(connection, _PUBLISH_MANY, (batch(messages),), _all)


@overload
def publish_unique(
    connection: SyncConnection,
    /,
    *,
    unique_for_s: float | None = None,
    replace: bool = False,
    throttle_s: float | None = None,
    **message: Unpack[Publication],
) -> Unique: ...
@overload
def publish_unique(
    connection: AnyAsync,
    /,
    *,
    unique_for_s: float | None = None,
    replace: bool = False,
    throttle_s: float | None = None,
    **message: Unpack[Publication],
) -> Coroutine[Any, Any, Unique]: ...
def publish_unique(
    connection: SyncConnection | AnyAsync,
    /,
    *,
    unique_for_s: float | None = None,
    replace: bool = False,
    throttle_s: float | None = None,
    **message: Unpack[Publication],
) -> Unique | Coroutine[Any, Any, Unique]:
    """Publish one message of a key at most once in `unique_for_s` seconds, or in place of one that still
    waits (`replace`), or one in `throttle_s` seconds, the last of them at the end of each window.

    Returns its id and whether it was "published", has "replaced" another one or was "skipped": then the id is
    that of the one that was published. See `publish`.
    """
    window = (_number("unique_for_s", unique_for_s), str(bool(replace)), _number("throttle_s", throttle_s))
    return _run(connection, _PUBLISH_UNIQUE, (*parameters(message), *window), _unique)


@overload
def publish_batch(
    connection: SyncConnection,
    messages: Sequence[Publication],
    /,
    *,
    then: Publication,
    on: Literal["end", "success"] = "end",
) -> Batch: ...
@overload
def publish_batch(
    connection: AnyAsync,
    messages: Sequence[Publication],
    /,
    *,
    then: Publication,
    on: Literal["end", "success"] = "end",
) -> Coroutine[Any, Any, Batch]: ...
def publish_batch(
    connection: SyncConnection | AnyAsync,
    messages: Sequence[Publication],
    /,
    *,
    then: Publication,
    on: Literal["end", "success"] = "end",
) -> Batch | Coroutine[Any, Any, Batch]:
    """Publish up to 1,000 messages at once, and a task (`then`) that runs once when all of them have ended.

    `on`: with "success" it is cancelled unless all were delivered. It reads how they ended in
    `current_task().batch`. See the SQL function `publish_batch`, and `publish`.
    """
    follows = batch([then])[1:-1]
    return _run(connection, _PUBLISH_BATCH, (batch(messages), follows, str(on)), _batch)


def _batch(rows: list[str]) -> Batch:
    pairs = [row.partition(" ") for row in rows]
    then = pairs[0][2]
    return Batch(UUID(then) if then else None, [UUID(message_id) for message_id, _, _ in pairs])


def _number(name: str, value: object) -> str | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise PublishRefused(f"must be seconds, not {type(value).__name__}", field=name)
    return None if value is None else str(value)


def _unique(rows: list[str]) -> Unique:
    [row] = rows
    message_id, _, result = row.partition(" ")
    return Unique(UUID(message_id), cast("Result", result))


def _only(ids: list[str]) -> UUID:
    [only] = ids
    return UUID(only)


def _all(ids: list[str]) -> list[UUID]:
    return [UUID(each) for each in ids]


def _run(
    connection: Any, statement: str, values: Values, result: Callable[[list[str]], T]
) -> T | Coroutine[Any, Any, T]:
    driver = driver_of(connection)
    if is_async(driver):
        return _wait(driver(connection, statement, values), result)
    with refusals():
        return result(driver(connection, statement, values))


async def _wait(running: Coroutine[Any, Any, list[str]], result: Callable[[list[str]], T]) -> T:
    with refusals():
        return result(await running)
