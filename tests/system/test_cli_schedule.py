"""`postroom schedule` for a schedule of which this shell has no code: elsewhere, or taken out."""

from __future__ import annotations

from pathlib import Path

from postroom.base.db import Pool
from tests.processes.commands import Ended, run


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
