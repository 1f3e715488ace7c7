"""Types that one connection has met are known to the next: nothing is asked, values are the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from postroom.base import db, known_types

VALUES: dict[str, list[Any]] = {
    "uuid": [UUID(int=1)],
    "bytea": [b"\x00\xff", None],
    "timestamptz": [datetime(2026, 1, 2, tzinfo=UTC)],
    "bigint": [1, 2**40],
    "boolean": [True, False],
    "jsonb": ['{"a": 1}'],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """The questions that reach PostgreSQL. A library without this method fails here."""
    questions: list[set[int]] = []
    ask = asyncpg.Connection._introspect_types  # type: ignore[attr-defined]

    async def counted(self: Any, typeoids: Any, timeout: Any) -> Any:
        questions.append(set(typeoids))
        return await ask(self, typeoids, timeout)

    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", counted)
    monkeypatch.setattr(known_types, "_known", {})
    return questions


@pytest.mark.parametrize("pooler", [False, True])
async def test_the_second_connection_asks_for_nothing(dsn: str, asked: list[set[int]], pooler: bool) -> None:
    for _ in range(2):
        conn = await db.connect(dsn, pooler=pooler)
        try:
            for name, values in VALUES.items():
                assert await conn.fetchval(f"select $1::{name}[]", values) == values
        finally:
            await conn.close()
    assert len(asked) == len(VALUES)


async def test_types_of_a_database_are_asked_for_each_time(dsn: str, asked: list[set[int]]) -> None:
    for _ in range(2):
        conn = await db.connect(dsn)
        try:
            async with conn.transaction():
                await conn.execute("create type pair as (a bigint, b text)")
                row = await conn.fetchrow(
                    "select row(1, 'x')::pair as pair, $1::uuid[] as ids", [UUID(int=3)]
                )
                assert row is not None
                assert (row["pair"]["a"], row["pair"]["b"], row["ids"]) == (1, "x", [UUID(int=3)])
                await conn.execute("drop type pair")
        finally:
            await conn.close()
    assert sum(max(each) >= known_types.FIRST_OF_USERS for each in asked) == 2
