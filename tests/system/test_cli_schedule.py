"""`postroom schedule`, for one in a file that this shell has, and for one of which it has no code."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from postroom.base.db import Pool
from postroom.base.operator_code import load_code
from postroom.channels.tasks.registry import tasks_in
from postroom.channels.tasks.schedules import schedules_in, schedules_job
from postroom.encryption.keyring import NO_KEYS
from postroom.worker.model import JobContext
from tests.fixtures.roles import pool_as
from tests.processes.commands import Ended, run

JOBS = """
from postroom import cron, task

@cron("* * * * *", catch_up="all")
@task("report.send")
async def send() -> None: ...
"""


async def test_a_schedule_of_a_file_is_listed_run_once_and_paused(
    pool: Pool, dsn: str, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.py"
    path.write_text(JOBS)

    def cli(*arguments: str) -> Ended:
        settings = {
            "POSTROOM_DATABASE_URL": dsn,
            "POSTROOM_STATE_DIR": str(tmp_path / "state"),
            "POSTROOM_HANDLERS": str(path),
        }
        ended = run("postroom", *arguments, home=tmp_path, settings=settings)
        assert ended.code == 0, ended.err
        return ended

    async def publish_missed() -> int:
        """As a runner that was away for five minutes."""
        await pool.execute("update postroom.schedule set last_at = now() - interval '5 minutes'")
        planned = schedules_in(tasks_in(load_code([str(path)])))
        job = schedules_job(pool=pool_as(pool, "runner"), planned=planned, keyring=NO_KEYS)
        return await job.run(JobContext(once=True))

    before = datetime.now(UTC)
    [listed] = cli("schedule", "list", "--json").json
    assert (listed["name"], listed["task"], listed["paused_by"]) == ("report.send", "report.send", None)
    next_at = datetime.fromisoformat(listed["next_at"])
    assert (next_at.second, before < next_at <= datetime.now(UTC) + timedelta(minutes=1)) == (0, True)

    said = cli("schedule", "run", "report.send").out
    [message] = await pool.fetch("select id::text, payload::text from postroom.message")
    assert json.loads(message["payload"])["task"] == "report.send"
    assert f"published as {message['id']}" in said

    assert await publish_missed() == 0, "a new schedule begins now"
    assert await publish_missed() >= 5
    cli("schedule", "pause", "report.send", "--reason", "figures are wrong")
    assert await publish_missed() == 0
    [ran, paused] = [json.loads(line) for line in cli("audit", "export").out.splitlines()]
    assert (ran["action"], ran["subject"], ran["detail"]["message_id"]) == (
        "schedule.run",
        "report.send",
        message["id"],
    )
    assert (paused["action"], paused["subject"], paused["detail"]["reason"]) == (
        "schedule.pause",
        "report.send",
        "figures are wrong",
    )


async def test_a_schedule_that_is_in_the_ledger_alone_can_be_paused(
    pool: Pool, dsn: str, tmp_path: Path
) -> None:
    def cli(*arguments: str) -> Ended:
        settings = {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(tmp_path / "state")}
        return run("postroom", "schedule", *arguments, home=tmp_path, settings=settings)

    await pool.execute(
        "insert into postroom.schedule (name, last_at) values ('figures.old', now() - interval '1 day')"
    )
    assert cli("pause", "figures.old", "--reason", "no longer in the code").code == 0
    [listed] = cli("list", "--json").json
    assert (listed["name"], listed["reason"], listed["behind_s"]) == (
        "figures.old",
        "no longer in the code",
        None,
    )
    assert cli("resume", "figures.old").code == 0
    unknown = cli("pause", "figures.new")
    assert unknown.code != 0
    assert "no schedule is called 'figures.new'" in unknown.err
    assert await pool.fetchval("select count(*) from postroom.schedule") == 1
