"""Schedules: which times are published, once each, and what daylight saving does to them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from postroom import cron, current_task, task
from postroom.base.db import Pool, transaction
from postroom.base.errors import SettingsInvalid
from postroom.base.operator_code import load_code
from postroom.base.settings import Settings
from postroom.base.task_settings import TaskSettings
from postroom.channels.tasks.registry import tasks_in
from postroom.channels.tasks.schedules import Planned, publish_due, schedules_in, schedules_job
from postroom.client.task import CURRENT, TaskRun
from postroom.encryption.keyring import NO_KEYS
from postroom.jobs.catalog import catalog
from postroom.wiring import open_worker
from postroom.worker.model import JobContext
from tests.fixtures.roles import as_role, pool_as

BERLIN = ZoneInfo("Europe/Berlin")
NINE = datetime(2026, 11, 27, 9, tzinfo=UTC)  # a Friday


def planned(expression: str, **more: Any) -> Planned:
    @cron(expression, **more)
    @task("report.daily")
    async def daily() -> None: ...

    [found] = schedules_in({daily.name: daily}).values()
    return found


def hours(moments: list[datetime]) -> list[str]:
    return [f"{each:%d %H:%M %z}" for each in moments]


def test_nothing_is_due_between_its_times() -> None:
    daily = planned("0 9 * * mon-fri")
    assert daily.due(NINE, NINE + timedelta(days=2, hours=23)) == []  # the weekend
    assert hours(daily.due(NINE, NINE + timedelta(days=3))) == ["30 09:00 +0000"]


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("last", ["30 09:00 +0000"]),
        ("all", ["28 09:00 +0000", "29 09:00 +0000", "30 09:00 +0000"]),
        ("none", []),
    ],
)
def test_what_was_missed_is_made_up_for_as_the_schedule_says(catch_up: Any, expected: list[str]) -> None:
    daily = planned("0 9 * * *", catch_up=catch_up)
    assert hours(daily.due(NINE, NINE + timedelta(days=3, hours=1))) == expected


def test_a_run_that_is_a_moment_late_has_missed_nothing() -> None:
    daily = planned("0 9 * * *", catch_up="none")
    assert hours(daily.due(NINE, NINE + timedelta(days=1, seconds=7))) == ["28 09:00 +0000"]


def test_a_time_that_daylight_saving_skips_comes_right_after_the_gap() -> None:
    daily = planned("30 2 * * *", zone="Europe/Berlin", catch_up="all")
    before = datetime(2026, 3, 28, 12, tzinfo=BERLIN)
    assert hours(daily.due(before, before + timedelta(days=2))) == ["29 03:00 +0200", "30 02:30 +0200"]


def test_a_time_that_daylight_saving_repeats_counts_once() -> None:
    daily = planned("30 2 * * *", zone="Europe/Berlin", catch_up="all")
    before = datetime(2026, 10, 24, 12, tzinfo=BERLIN)
    assert hours(daily.due(before, before + timedelta(days=2))) == ["25 02:30 +0200", "26 02:30 +0100"]


def test_an_hourly_one_goes_on_through_both_hours() -> None:
    hourly = planned("0 * * * *", zone="Europe/Berlin", catch_up="all")
    before = datetime(2026, 10, 25, 1, 30, tzinfo=BERLIN)
    due = hourly.due(before, datetime(2026, 10, 25, 2, 30, tzinfo=UTC))
    assert hours(due) == ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]


async def begin(pool: Pool, name: str, ago: timedelta) -> None:
    """As if a runner had looked at it last so long ago."""
    insert = "insert into postroom.schedule (name, last_at) values ($1, now() - $2::interval)"
    await pool.execute(insert, name, ago)


async def keys(pool: Pool) -> list[str]:
    rows = await pool.fetch("select key from postroom.message order by key")
    return [row["key"] for row in rows]


async def test_a_new_schedule_begins_now(pool: Pool) -> None:
    every_minute = planned("* * * * *", catch_up="all")
    async with transaction(pool_as(pool, "runner")) as conn:
        assert await publish_due(conn, every_minute, NO_KEYS) == 0
    assert await pool.fetchval("select last_at from postroom.schedule") is not None


async def test_several_runners_publish_each_time_once(pool: Pool) -> None:
    runner = pool_as(pool, "runner")
    every_minute = planned("* * * * *", catch_up="all")
    await begin(pool, "report.daily", timedelta(minutes=10))
    jobs = [schedules_job(pool=runner, planned={"a": every_minute}, keyring=NO_KEYS) for _ in range(4)]
    counts = await asyncio.gather(*(job.run(JobContext(once=True)) for job in jobs))
    found = await keys(pool)
    assert len(found) == len(set(found)) == sum(counts)
    assert len(found) in (10, 11)
    assert found[0].startswith("schedule:report.daily:")


async def test_a_time_whose_note_was_lost_is_not_published_again(pool: Pool) -> None:
    """As after a restored backup: the key of a message is its time."""
    every_minute = planned("* * * * *", catch_up="all")
    await begin(pool, "report.daily", timedelta(minutes=3))
    for _ in range(2):
        async with transaction(pool) as conn:
            await publish_due(conn, every_minute, NO_KEYS)
        await pool.execute("update postroom.schedule set last_at = last_at - interval '2 minutes'")
    found = await keys(pool)
    assert len(found) == len(set(found))


async def test_a_pause_publishes_nothing_and_is_not_made_up_for(pool: Pool) -> None:
    every_minute = planned("* * * * *", catch_up="all")
    await begin(pool, "report.daily", timedelta(minutes=5))
    await pool.execute("update postroom.schedule set paused_at = now(), paused_by = 'ada'")
    async with transaction(pool) as conn:
        assert await publish_due(conn, every_minute, NO_KEYS) == 0


def test_a_task_knows_the_time_that_it_runs_for() -> None:
    message = planned("0 9 * * *").message(NINE)
    run = TaskRun(
        task="a",
        message_id=UUID(int=0),
        attempt=1,
        attempts_max=1,
        tenant="",
        key=message.key,
        correlation_id="",
    )
    before = CURRENT.set(run)
    assert current_task().scheduled_at == NINE
    CURRENT.reset(before)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('@cron("0 25 * * *")', "'0 25 * * *' is no cron expression with a time: Bad hour"),
        ('@cron("often")', "'often' is no cron expression with a time"),
        ('@cron("0 0 30 2 *")', "is no cron expression with a time"),
        ('@cron("0 9 * * *", zone="Europe/Nowhere")', "'Europe/Nowhere' is no time zone"),
        ('@cron("0 9 * * *", catch_up="some")', "catch_up is one of none, last, all"),
        ('@cron("0 9 * * *", args={"day": 1})', "args.day"),
        ('@cron("0 9 * * *")\n@cron("0 10 * * *")', "two schedules are named 'a'"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_with_its_place(
    tmp_path: Path, line: str, expected: str
) -> None:
    path = tmp_path / "jobs.py"
    path.write_text(f'from postroom import cron, task\n{line}\n@task("a")\nasync def a() -> None: ...\n')
    with pytest.raises(SettingsInvalid) as refused:
        schedules_in(tasks_in(load_code([str(path)])))
    assert expected in str(refused.value)
    assert f"{path}:" in str(refused.value)


@pytest.mark.parametrize(("on", "rows"), [(True, 1), (False, 0)])
async def test_a_runner_has_schedules_unless_it_is_told_otherwise(
    dsn: str, pool: Pool, tmp_path: Path, *, on: bool, rows: int
) -> None:
    path = tmp_path / "jobs.py"
    path.write_text(
        'from postroom import cron, task\n@cron("* * * * *")\n@task("a")\nasync def a() -> None: ...\n'
    )
    settings = Settings(state_dir=tmp_path, handlers=(str(path),), tasks=TaskSettings(schedules=on))
    async with open_worker(settings, as_role(dsn, "runner"), role="test") as parts:
        await catalog(parts)["schedules"].run(JobContext(once=True))
    assert await pool.fetchval("select count(*) from postroom.schedule") == rows
