"""What a publisher gives is checked by the functions that publish; what many write, by the table."""

from __future__ import annotations

import asyncpg
import pytest

from postroom.base import json
from postroom.base.db import Pool

LONGEST = {
    "type": 200, "tenant": 200, "key": 500, "correlation_id": 200, "ordering_key": 500, "traceparent": 100,
}  # fmt: skip
PLAIN = {"channel": "email", "payload": {"to": "ada@example.com"}}
MANY = "select count(*) from postroom.publish_many($1::text::jsonb)"
KEPT = "select count(*) from postroom.message"


def _one(column: str) -> str:
    return f"select postroom.publish('email', '{{}}', {column} => $1)"


@pytest.mark.parametrize("column", LONGEST)
async def test_what_is_too_long_is_refused_by_its_name_however_it_is_published(
    pool: Pool, column: str
) -> None:
    """Alone, with a few, and with so many that they are inserted plainly."""
    longest = "ä" * LONGEST[column]
    for count in (2, 120):
        batch = [*[PLAIN] * count, {**PLAIN, column: longest + "x"}]
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await pool.fetchval(MANY, json.encode(batch))
        assert refused.value.constraint_name == f"message_{column}_check"
    with pytest.raises(asyncpg.CheckViolationError, match=f"{column} is empty or longer than") as refused:
        await pool.fetchval(_one(column), longest + "x")
    assert (refused.value.table_name, refused.value.column_name) == ("message", column)
    assert await pool.fetchval(KEPT) == 0
    assert await pool.fetchval(_one(column), longest)
    batch = [*[PLAIN] * 120, {**PLAIN, column: longest[1:]}]
    assert await pool.fetchval(MANY, json.encode(batch)) == 121


@pytest.mark.parametrize("count", [2, 120])
async def test_neither_an_empty_ordering_key_nor_an_unknown_channel_is_published(
    pool: Pool, count: int
) -> None:
    for fault, refusal in (
        ({"ordering_key": ""}, asyncpg.CheckViolationError),
        ({"channel": "sms"}, asyncpg.InvalidParameterValueError),
        ({"channel": None}, asyncpg.InvalidParameterValueError),
        ({"urgency": "asap"}, asyncpg.InvalidParameterValueError),
    ):
        with pytest.raises(refusal):
            await pool.fetchval(MANY, json.encode([*[PLAIN] * count, {**PLAIN, **fault}]))
    assert await pool.fetchval(KEPT) == 0


@pytest.mark.rows_by_hand
@pytest.mark.parametrize("state", ["waiting", "pending", "held_bulk"])
async def test_a_delivery_in_no_state_that_there_is_is_refused_whoever_writes_it(
    pool: Pool, state: str
) -> None:
    """What was never tried waits for its first attempt, and only what was tried for another."""
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute(
            "insert into postroom.delivery (message_id, channel, destination, due_at, state, attempts) "
            "values (postroom.uuid7(), 'email', 'email', now(), $1, 1)",
            state,
        )
