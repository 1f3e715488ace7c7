"""What chaos says of a schedule: a minute that was missed and one that ran twice are seen."""

from __future__ import annotations

import pytest

from chaos.evidence import wrong_ticks
from chaos.tasks import TABLES
from postroom.base.db import Pool

RAN = (
    "insert into public.chaos_tick select timestamptz '2026-05-01 12:00Z' + n * interval '1 minute'"
    " from unnest($1::int[]) n"
)
DUE = "insert into postroom.schedule (name, last_at) values ('chaos.tick', '2026-05-01 12:04:30Z')"


@pytest.mark.parametrize(
    ("ran", "wrong"),
    [
        ([0, 1, 2, 3, 4], []),
        ([0, 2, 3, 4], ["12:01:00+00:00: 0 times"]),
        ([0, 1, 2, 2, 3, 4], ["12:02:00+00:00: 2 times"]),
        ([0, 1, 2], ["12:03:00+00:00: 0 times", "12:04:00+00:00: 0 times"]),
    ],
)
async def test_each_minute_that_did_not_run_once_is_named(
    pool: Pool, ran: list[int], wrong: list[str]
) -> None:
    for statement in TABLES:
        await pool.execute(statement)
    await pool.execute(DUE)
    await pool.execute(RAN, ran)
    assert [each.partition(" ")[2] for each in await wrong_ticks(pool)] == wrong
