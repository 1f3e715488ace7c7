"""Deliveries made in line, without the engine: tasks called, mails and webhooks sent by their adapters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Literal, TypeAlias

import asyncpg
import msgspec

from postroom.base.db import CONNECT_TIMEOUT_S, Connection
from postroom.base.operator_code import load_code
from postroom.client.drivers import driver_of, is_async
from postroom.client.task import CURRENT, Task, TaskRun
from postroom.testing.place import Place
from postroom.testing.published import Sent

WITHIN: Final = (
    "current_task().transaction() is a transaction of asyncpg, and cannot be within this test's own: "
    "let the test publish with asyncpg, or commit"
)
Real: TypeAlias = Literal["task", "email", "webhook"]


class NotDelivered(AssertionError):
    """What a real adapter was given and could not deliver, with its reason."""


class _Run(TaskRun, frozen=True, kw_only=True):
    place: Place

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        return _transaction(self.place)


async def send(place: Place, sent: Sent) -> None:
    """Errors: what a task raises; `NotDelivered`."""
    if sent.channel == "task":
        await _call(place, sent)
    elif sent.channel in ("email", "webhook"):
        await place.until(_deliver(place.dsn, sent))
    else:
        raise ValueError(f"{sent.channel} cannot be real here: it needs a message that is committed")


async def _call(place: Place, sent: Sent) -> None:
    task = _task(place, sent.payload.get("task"))
    arguments = task.read(sent.payload.get("args", {}))
    run = _Run(
        task=task.name, message_id=sent.message_id, attempt=1, attempts_max=task.attempts, tenant=sent.tenant,
        key=sent.key, correlation_id=sent.correlation_id, batch=sent.batch, place=place,
    )  # fmt: skip
    token = CURRENT.set(run)
    try:
        if task.is_async:
            await place.until(asyncio.wait_for(task.function(**arguments), task.timeout_s))
        elif place.waits:
            await asyncio.to_thread(task.function, **arguments)
        else:
            task.function(**arguments)
    finally:
        CURRENT.reset(token)


def _task(place: Place, name: object) -> Task[..., Any]:
    found = (each for module in load_code(place.handlers) for each in vars(module).values())
    tasks = {each.name: each for each in found if isinstance(each, Task)}
    if not isinstance(name, str) or name not in tasks:
        raise NotDelivered(
            f"task {name!r} is in nothing that POSTROOM_HANDLERS names: {list(place.handlers)}"
        )
    return tasks[name]


@asynccontextmanager
async def _transaction(place: Place) -> AsyncIterator[Connection]:
    """A savepoint in the test's own transaction, or one that is committed."""
    if place.connection is None:
        own = await asyncpg.connect(place.dsn, timeout=CONNECT_TIMEOUT_S)
        try:
            async with own.transaction():
                yield own
        finally:
            await own.close()
        return
    connection = await _driver_connection(place.connection)
    async with connection.transaction():
        yield connection


async def _driver_connection(connection: Any) -> Any:
    if not is_async(driver_of(connection)):
        raise RuntimeError(WITHIN)
    if hasattr(connection, "connection"):  # a session of SQLAlchemy
        connection = await connection.connection()
    if hasattr(connection, "get_raw_connection"):
        connection = (await connection.get_raw_connection()).driver_connection
    if not hasattr(connection, "is_in_transaction"):
        raise RuntimeError(WITHIN)
    return connection


async def _deliver(dsn: str, sent: Sent) -> None:
    """By the adapter that the settings make, once."""
    from postroom.base.settings import load_settings
    from postroom.outbox.model import Channel, Claim, Delivered
    from postroom.wiring import open_services

    claim = Claim(
        message_id=sent.message_id, n=sent.n, worker=0, claim_no=1, channel=sent.channel,
        destination=sent.destination, endpoint_id=sent.endpoint_id, ordering_key=sent.ordering_key,
        state="pending", attempts=0, due_s=sent.due_s, seq=sent.seq, type=sent.type, tenant=sent.tenant,
        key=sent.key, correlation_id=sent.correlation_id, traceparent=None,
        payload=msgspec.json.encode(sent.payload).decode(), created_s=sent.created_s,
    )  # fmt: skip
    async with open_services(load_settings(), dsn) as services:
        answer = await services.adapters[Channel(sent.channel)].deliver(claim)
    if not isinstance(answer, Delivered):
        raise NotDelivered(f"{sent}: {getattr(answer, 'reason', answer)}")
