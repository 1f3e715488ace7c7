"""Where a test publishes, and how it is read there."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from postroom.base.db import CONNECT_TIMEOUT_S
from postroom.client.drivers import driver_of, is_async
from postroom.client.refusal import refusals
from postroom.testing.blocking import blocking

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Place:
    """`connection`: the one whose transaction the test rolls back; without, what is committed is seen.

    `waits`: the test awaits what it calls. `handlers`: where its tasks are.
    """

    dsn: str
    connection: Any
    waits: bool
    handlers: Sequence[str]

    async def read(self, statement: str, *values: str) -> list[str]:
        """The first column of each row. Where nobody waits, it never suspends."""
        if self.connection is None:
            return await self.until(_read_committed(self.dsn, statement, values))
        driver = driver_of(self.connection)
        with refusals():
            rows: Any = driver(self.connection, statement, values)
            found: list[str] = await rows if is_async(driver) else rows
        return found

    async def until(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for it, or, where nobody waits, run it to its end."""
        return await work if self.waits else blocking(work)


async def _read_committed(dsn: str, statement: str, values: Sequence[str]) -> list[str]:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        return [row[0] for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()
