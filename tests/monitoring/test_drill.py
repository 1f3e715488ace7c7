"""The drill's own parts: time is scaled everywhere, and commands are read as they stand."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest
import yaml

from drill.__main__ import end_background
from drill.pages import FOLDER, count_commands, read_page
from drill.scaling import scale_duration, scale_expression, scale_rules
from drill.shell import run_block
from tests.monitoring.promtool import RULES

FACTOR = 1 / 30


@pytest.mark.parametrize(("text", "scaled"), [("5m", "10000ms"), ("1h", "120000ms"), ("30s", "1000ms")])
def test_durations(text: str, scaled: str) -> None:
    assert scale_duration(text, FACTOR) == scaled


def test_a_duration_of_two_units_is_refused() -> None:
    with pytest.raises(ValueError, match="1h30m"):
        scale_duration("1h30m", FACTOR)


def test_windows_steps_and_minutes() -> None:
    scaled = scale_expression("min_over_time(max(x)[15m:1m]) > 5 * 60", FACTOR)
    assert scaled == "min_over_time(max(x)[30000ms:2000ms]) > 5 * 2"


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_no_time_in_the_rules_is_left_at_its_own_speed(path: Path) -> None:
    """A number of seconds that is not written as minutes * 60 would make the drill prove something else."""
    for group in scale_rules(yaml.safe_load(path.read_text()), FACTOR)["groups"]:
        for rule in group["rules"]:
            assert re.findall(r"\b\d+[smhd]\b", f"{rule['expr']} {rule.get('for', '')}") == []
            if re.search(r"(_seconds\b|time\(\)).*>", rule["expr"]):
                assert re.search(r"> \d+ \* 2\b", rule["expr"]), rule["alert"]


def test_a_page_without_a_section_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Some.md").write_text("# Some\n## Meaning\ntext\n")
    with pytest.raises(ValueError, match="Impact"):
        read_page("Some", tmp_path)


def test_blocks_are_read_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "Some.md").write_text(
        "# Some\n## Meaning\nm\n## Impact\ni\n## Diagnosis\n```sh\none\ntwo\n```\nand\n```sh\nthree\n```\n"
        "## Mitigation\n```sql\nno\n```\n"
    )
    page = read_page("Some", tmp_path)
    assert page.diagnosis == ("one\ntwo", "three")
    assert page.mitigation == ()


@pytest.mark.parametrize(
    ("block", "count"),
    [
        ("one\ntwo", 2),
        ("one \\\n  --more", 1),
        ("one |\n  while read -r x; do\n    two\n  done\nthree", 2),
        ('psql -c "\n  select 1"\nthree', 2),
    ],
)
def test_commands_are_counted_as_a_person_would(block: str, count: int) -> None:
    assert count_commands(block) == count


def test_every_page_has_a_command_to_count() -> None:
    pages = [read_page(path.stem) for path in FOLDER.glob("*.md")]
    assert all(count_commands(block) for page in pages for block in (*page.diagnosis, *page.mitigation))


@pytest.mark.parametrize(
    ("block", "succeeded"),
    [
        ("true", True),
        ("false\ntrue", False),
        ("false | true", False),
        ("echo $UNSET_IN_THE_DRILL", False),
        ("no-such-command", False),
        ("true\nexit 1", False),
    ],
)
async def test_a_step_that_fails_is_seen(block: str, succeeded: bool) -> None:
    ran = await run_block(block, environment={"PATH": os.environ["PATH"]})
    assert ran.succeeded is succeeded


async def test_a_step_that_hangs_is_ended() -> None:
    ran = await run_block("sleep 60", environment={"PATH": os.environ["PATH"]}, timeout_s=0.5)
    assert ran.exit_code is None
    assert not ran.succeeded


async def test_what_dies_in_the_background_fails_the_drill() -> None:
    async def die() -> None:
        raise RuntimeError("no more traffic")

    async def last() -> None:
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(die()), asyncio.create_task(last())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    [said] = await end_background(tasks)
    assert "no more traffic" in said
