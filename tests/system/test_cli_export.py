"""`postroom export`: what lies in the storage, and what is written again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from postroom.base.db import Pool
from tests.processes.commands import Ended, run

Cli = Callable[..., Ended]
PUBLISH = """
select postroom.publish('export', tenant => 'acme', payload =>
    '{"dataset": "orders", "record": {"id": 1, "created": 1795947300}}')
"""


@pytest.fixture
def cli(dsn: str, tmp_path: Path) -> Cli:
    settings = {
        "POSTROOM_DATABASE_URL": dsn,
        "POSTROOM_STATE_DIR": str(tmp_path / "state"),
        "POSTROOM_EXPORTS__ROLL_S": "0",
    }
    return lambda *arguments: run("postroom", *arguments, home=tmp_path, settings=settings)


async def test_files_are_listed_and_a_lost_one_comes_back(cli: Cli, pool: Pool, tmp_path: Path) -> None:
    await pool.execute(PUBLISH)
    assert cli("work", "--once", "--job", "outbox-delivery").code == 0
    listed = cli(
        "export", "list", "--dataset", "orders", "--since", "2026-11-29", "--until", "2026-11-30", "--json"
    )
    [file] = json.loads(listed.out)
    assert (file["tenant"], file["day"], file["records"], file["current"]) == ("acme", "2026-11-29", 1, True)
    assert json.loads(cli("export", "list", "--until", "2026-11-29", "--json").out) == []

    path = tmp_path / "state" / "exports" / file["path"]
    content = path.read_bytes()
    path.unlink()
    looked = json.loads(cli("export", "again", "--dataset", "orders", "--dry-run", "--json").out)
    assert (len(looked["files"]), looked["incomplete"]) == (1, [])
    assert cli("export", "again", "--dataset", "orders").code == 2  # nobody is there to ask
    assert cli("export", "again", "--dataset", "orders", "--yes").code == 0
    assert "to be written again" in cli("export", "list").out
    assert cli("work", "--once", "--job", "export-files").code == 0
    assert path.read_bytes() == content

    await pool.execute("update postroom.message set payload = '{}'")
    told = cli("export", "again", "--dataset", "orders", "--dry-run").out
    assert f"Not all of its records are in the ledger any more: {file['path']}" in told
