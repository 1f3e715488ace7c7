"""What tests run in a fork is what a person's shell would have run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.commands import environment, run
from tests.processes.forked import LIBRARIES, run_forked

LOADED = "import sys; import importlib; [importlib.import_module(each) for each in {}]; print(*sys.modules)"


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (("postroom", "work", "--job", "nosuch", "--once"), None),
        (("postroom", "token", "create", "--help"), None),
        (("json.tool",), '{"a": "\u00e9"}'),
        (("json.tool",), "no JSON"),
        (("postroom.base.no_such_module",), None),
    ],
)
def test_it_ends_and_says_what_it_would_without(
    words: tuple[str, ...], stdin: str | None, tmp_path: Path
) -> None:
    forked = run(*words, home=tmp_path, settings={"POSTROOM_STATE_DIR": str(tmp_path)}, stdin=stdin)
    alone = subprocess.run(
        [sys.executable, "-m", *words], env=environment(tmp_path, {"POSTROOM_STATE_DIR": str(tmp_path)}),
        input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    last = alone.stderr.splitlines()[-1:]
    assert (forked.code, forked.out) == (alone.returncode, alone.stdout)
    assert [line.rpartition(": ")[2] for line in forked.err.splitlines()[-1:]] == [
        line.rpartition(": ")[2] for line in last
    ]


def test_one_that_hangs_is_ended_in_time(tmp_path: Path) -> None:
    plain = environment(tmp_path, {})
    with pytest.raises(subprocess.TimeoutExpired):
        run_forked(("asyncio",), plain=plain, settings={}, stdin=None, limit_s=0.0)


def test_nothing_of_postroom_is_loaded_before() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(LIBRARIES)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert {"aiohttp", "structlog"} <= set(done.stdout.split())
    assert not [name for name in done.stdout.split() if name.partition(".")[0] == "postroom"]
