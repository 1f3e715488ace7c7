"""`postroom publish`: once in a while, the last one only, and batches with what follows them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from postroom.base.db import Pool
from postroom.cli.application import main
from tests.processes.commands import Ended

Cli = Callable[..., Ended]
TASK = ("publish", "task", "--key", "crm:42", "--payload", '{"task": "crm.sync", "args": {"n": 1}}')
THEN = '{"channel": "task", "payload": {"task": "report"}}'


@pytest.fixture
def cli(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command as its process runs it, without the second that a process takes."""
    monkeypatch.setenv("POSTROOM_DATABASE_URL", dsn)
    monkeypatch.setenv("POSTROOM_STATE_DIR", str(tmp_path / "state"))

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["postroom", *arguments])
        try:
            code = main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ended(code, *capsys.readouterr())

    return call


@pytest.mark.parametrize(
    ("how", "result"),
    [
        (("--unique-for-s", "60"), "skipped"),
        (("--replace",), "replaced"),
        (("--throttle-s", "600"), "replaced"),
    ],
)
async def test_a_second_one_is_told_what_has_become_of_it(
    cli: Cli, pool: Pool, how: tuple[str, ...], result: str
) -> None:
    first = await asyncio.to_thread(cli, *TASK, *how)
    second = await asyncio.to_thread(cli, *TASK, *how)
    assert (first.code, first.err, second.code) == (0, "", 0)
    known = second.out.strip()
    assert second.err == f"{known}: {result}\n"
    assert (known == first.out.strip()) == (result == "skipped")
    assert await pool.fetchval("select count(*) from postroom.delivery") == 1


async def test_windows_that_exclude_each_other_are_refused(cli: Cli, pool: Pool) -> None:
    both = await asyncio.to_thread(cli, *TASK, "--throttle-s", "600", "--unique-for-s", "5")
    assert both.code != 0
    assert "throttle_s" in both.err
    assert "goes with neither unique_for_s nor deliver_at" in both.err
    assert await pool.fetchval("select count(*) from postroom.message") == 0


async def test_a_batch_tells_what_follows_it_and_how_it_stands(cli: Cli, pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "batch.json"
    path.write_text(json.dumps([{"channel": "task", "payload": {"task": name}} for name in ("a", "b")]))
    made = await asyncio.to_thread(
        cli, "publish", "--batch", str(path), "--then", THEN, "--on", "success", "--json"
    )
    assert made.code == 0, made.err
    follower = made.json["then"]
    assert len(made.json["events"]) == 2
    shown = await asyncio.to_thread(cli, "messages", "show", follower)
    assert "Follows a batch of 2, on success: 0 delivered, 0 dead, 0 cancelled, 2 open" in shown.out
    listed = await asyncio.to_thread(cli, "messages", "list", "--status", "awaiting_batch", "--json")
    assert [each["id"] for each in listed.json["items"]] == [follower]
    for wrong, told in (
        (("--on", "success"), "--then"),
        (("--then", THEN.replace("task", "email", 1)), "then.channel"),
    ):
        refused = await asyncio.to_thread(cli, "publish", "--batch", str(path), *wrong)
        assert refused.code != 0
        assert told in refused.err
    assert await pool.fetchval("select count(*) from postroom.message") == 3
