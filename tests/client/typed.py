"""What a type checker says of `postroom.publish`; `make check` reads it, nothing runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type
from uuid import UUID

import postroom

if TYPE_CHECKING:
    import asyncpg
    import psycopg
    import psycopg2.extensions
    from asyncpg.pool import PoolConnectionProxy
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session


async def of_drivers(
    a: asyncpg.Connection[Any], b: PoolConnectionProxy[Any], c: psycopg.Connection, d: psycopg.AsyncConnection
) -> None:
    assert_type(await postroom.publish(a, channel="email", payload={}), UUID)
    assert_type(await postroom.publish(b, channel="email", payload={}), UUID)
    assert_type(postroom.publish(c, channel="email", payload={}), UUID)
    assert_type(await postroom.publish(d, channel="email", payload={}), UUID)
    assert_type(postroom.publish_many(c, [{"channel": "email", "payload": {}}]), list[UUID])
    assert_type(await postroom.publish_many(d, [{"channel": "email", "payload": {}}]), list[UUID])
    assert_type(postroom.publish_unique(c, channel="email", payload={}, replace=True), postroom.Unique)
    assert_type(await postroom.publish_unique(d, channel="email", payload={}, replace=True), postroom.Unique)


async def of_sqlalchemy(a: Connection, b: Session, c: AsyncConnection, d: AsyncSession) -> None:
    assert_type(postroom.publish(a, channel="email", payload={}), UUID)
    assert_type(postroom.publish(b, channel="email", payload={}), UUID)
    assert_type(await postroom.publish(c, channel="email", payload={}), UUID)
    assert_type(await postroom.publish(d, channel="email", payload={}), UUID)


async def of_others(
    a: psycopg2.extensions.connection, b: scoped_session[Session], c: async_scoped_session[AsyncSession]
) -> None:
    assert_type(postroom.publish(a, channel="email", payload={}), UUID)
    assert_type(postroom.publish(b, channel="email", payload={}), UUID)
    assert_type(await postroom.publish(c, channel="email", payload={}), UUID)


async def refused(pool: asyncpg.Pool[Any], a: psycopg.Connection, b: psycopg.AsyncConnection) -> None:
    postroom.publish(pool, channel="email", payload={})  # type: ignore[call-overload]
    postroom.publish(a, payload={})  # type: ignore[call-overload]
    postroom.publish(a, chanel="email", payload={})  # type: ignore[call-overload]
    postroom.publish(a, channel="email", payload="{}")  # type: ignore[call-overload]
    postroom.publish(a, channel="email", payload={}, deliver_at="now")  # type: ignore[call-overload]
    postroom.publish(b, channel="email", payload={})  # type: ignore[unused-coroutine]
