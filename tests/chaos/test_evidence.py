"""What chaos says of a schedule and of tasks, by evidence that is made by hand."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from chaos.entrances import message_of
from chaos.evidence import Ticks, read_ticks
from chaos.healing import wait_for_quiet
from chaos.tasks import TABLES, TASKS
from postroom.base.db import Pool

RAN = (
    "insert into public.chaos_tick select timestamptz '2026-05-01 12:00Z' + n * interval '1 minute'"
    " from unnest($1::int[]) n"
)
MADE = (
    "insert into postroom.schedule (name, last_at, chaos_made_at)"
    " values ('chaos.tick', '2026-05-01 12:04:40Z', '2026-05-01 11:59:30Z')"
)
UNTIL = datetime(2026, 5, 1, 12, 4, 30, tzinfo=UTC)


@pytest.fixture
async def made(pool: Pool) -> Pool:
    for statement in (*TABLES, MADE):
        await pool.execute(statement)
    return pool


@pytest.mark.parametrize(
    ("ran", "seen", "wrong"),
    [
        pytest.param([0, 1, 2, 3, 4], 5, (), id="all there"),
        pytest.param([0, 1, 2, 3, 4, 5], 5, (), id="another one meanwhile"),
        pytest.param([], 0, tuple(f"12:0{n}:00: 0 times" for n in range(5)), id="no tick"),
        pytest.param([1, 2, 3, 4], 4, ("12:00:00: 0 times",), id="first missing"),
        pytest.param([0, 2, 3, 4], 4, ("12:01:00: 0 times",), id="one missing"),
        pytest.param([0, 1, 2, 3], 4, ("12:04:00: 0 times",), id="last missing"),
        pytest.param([0, 1, 2, 2, 3, 4], 5, ("12:02:00: 2 times",), id="one doubled"),
        pytest.param([-1, 0, 1, 2, 3, 4], 5, ("11:59:00: 1 times, not due",), id="one before it was made"),
    ],
)
async def test_each_minute_that_did_not_run_once_is_named(
    made: Pool, ran: list[int], seen: int, wrong: tuple[str, ...]
) -> None:
    await made.execute(RAN, ran)
    assert await read_ticks(made, until=UNTIL) == Ticks(expected=5, seen=seen, wrong=wrong)


async def test_a_run_is_not_quiet_before_the_schedule_is_published_up_to_its_end(made: Pool) -> None:
    assert await wait_for_quiet(made, ticks_until=UNTIL, limit_s=5)
    for stopped in (
        "update postroom.schedule set last_at = '2026-05-01 12:04Z'",
        "delete from postroom.schedule",
    ):
        await made.execute(stopped)
        assert not await wait_for_quiet(made, ticks_until=UNTIL, limit_s=0.2)


def test_each_task_is_published_as_often_as_the_others() -> None:
    counts = Counter(message_of(f"http-{n:06}", "task")["payload"]["task"] for n in range(3_000))
    assert set(counts) == set(TASKS)
    assert min(counts.values()) > 900
