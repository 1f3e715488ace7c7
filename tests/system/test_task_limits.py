"""The limit that a task declares, over several runners."""

from __future__ import annotations

from pathlib import Path

import pytest

from postroom.base.db import Pool
from tests.outbox.engine.test_limits import keeps
from tests.system.test_crash_matrix import Start, until
from tests.system.test_crash_matrix import start as start

PER_S = 20
CODE = f"""
import os, time
from pathlib import Path
from postroom import task

@task("paced", limit_per_s={PER_S})
async def paced():
    with (Path(__file__).parent / "marks").open("a") as file:
        file.write(f"{{time.monotonic()}} {{os.getpid()}}\\n")
"""


@pytest.mark.timeout(120)
async def test_two_runners_keep_the_limit_that_a_task_declares(
    start: Start, pool: Pool, tmp_path: Path
) -> None:
    (tmp_path / "jobs.py").write_text(CODE)
    marks = tmp_path / "marks"
    publish = "select postroom.publish('task', '{\"task\": \"paced\"}') from generate_series(1, 1000)"
    settings = {"POSTROOM_HANDLERS": str(tmp_path / "jobs.py")}

    def ran() -> list[list[str]]:
        return [line.split() for line in marks.read_text().splitlines()] if marks.exists() else []

    await pool.execute(publish)
    for _ in range(2):
        start("postroom", "work", "--channel", "task", **settings)
    await until(lambda: len({pid for _, pid in ran()}) == 2)
    seen = len(ran())
    await until(lambda: len(ran()) >= seen + 3 * PER_S)
    starts = sorted(float(at) for at, _ in ran())
    keeps(PER_S, starts)
    measured = starts[seen:]
    assert len(measured) - 1 >= 0.8 * PER_S * (measured[-1] - measured[0])
