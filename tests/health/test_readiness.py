"""When a process says that it is ready, and when it does not."""

from __future__ import annotations

import pytest

from postroom.base.db import Pool, open_pool
from postroom.base.errors import NotFound
from postroom.base.schema import Schema, head
from postroom.health.readiness import CACHE_S, CheckStatus, Readiness
from tests.fixtures.clock import DrivenClock
from tests.fixtures.roles import pool_as


def readiness(pool: Pool, clock: DrivenClock | None = None) -> Readiness:
    return Readiness(
        pool=pool_as(pool, "api"),
        clock=clock or DrivenClock(),
        schema=Schema(head(), frozenset({head(), "0000"})),
    )


async def test_a_dead_runner_fails_jobs_and_nothing_else(pool: Pool) -> None:
    clock = DrivenClock()
    checks = readiness(pool, clock)
    assert not (await checks.report()).ready
    assert (await checks.report(exclude=frozenset({"jobs"}))).ready
    await pool.execute(
        "insert into postroom.job (name, beat_at) values ('jobs-runner', now() - interval '299 s')"
    )
    clock.advance(CACHE_S)
    assert (await checks.report()).ready
    await pool.execute("update postroom.job set beat_at = now() - interval '301 s'")
    assert (await checks.report()).ready, "kept for 2 s"
    clock.advance(CACHE_S)
    assert CheckStatus.FAILED is (await checks.report(only="jobs")).checks["jobs"].status


@pytest.mark.parametrize(("revision", "ready"), [("0000", False), ("9999_from_the_future", True)])
async def test_a_database_ahead_is_ready_and_one_behind_is_not(
    pool: Pool, revision: str, ready: bool
) -> None:
    await pool.execute("update postroom.alembic_version set version_num = $1", revision)
    assert ready == (await readiness(pool).report(only="migrations")).ready


async def test_an_empty_schema_is_not_ready(pool: Pool) -> None:
    await pool.execute("drop table postroom.alembic_version")
    result = (await readiness(pool).report(only="migrations")).checks["migrations"]
    assert "postroom migrate" in result.detail


async def test_shutting_down_is_not_ready_whatever_the_checks_say(pool: Pool) -> None:
    checks = readiness(pool)
    assert (await checks.report(only="database")).ready
    checks.stop()
    assert not (await checks.report(only="database")).ready


async def test_a_database_that_is_away_is_a_result_and_no_error() -> None:
    pool = await open_pool("postgresql://postgres@127.0.0.1:1/nothing")
    report = await readiness(pool).report()
    assert {CheckStatus.FAILED} == {result.status for result in report.checks.values()}
    pool.terminate()


async def test_a_stuck_database_fails_within_the_time_of_a_check(pool: Pool) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("lock table postroom.alembic_version")
        result = (await readiness(pool).report(only="migrations")).checks["migrations"]
    assert result.detail == "no answer within 1 s"


async def test_an_unknown_check_names_the_known_ones(pool: Pool) -> None:
    with pytest.raises(NotFound, match="database, migrations, jobs"):
        await readiness(pool).report(only="stripe")
