"""The pytest plugin as an application has it: suites of tests, each run by a pytest of its own."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, run
from urllib.parse import urlsplit

from tests.processes.commands import ROOT

SUITES = Path(__file__).parent / "suites"
SAMPLES = ROOT / "docs/samples/testing"
WITHIN_S = 100


def suites(
    folder: Path, *names: str, only: str = "", ini: str = "", **environment: str
) -> tuple[dict[str, int], str]:
    """How many of their tests passed, failed and so on, and what pytest said."""
    for each in ("tasks", "django_settings", *names):
        shutil.copy((SAMPLES if each.startswith("test_") else SUITES) / f"{each}.py", folder)
    (folder / "pytest.ini").write_text(f"[pytest]\nasyncio_mode = auto\npostroom_handlers = tasks\n{ini}")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("POSTROOM_", "PYTEST_"))}
    settings = {**kept, "PYTHONPATH": str(folder), "POSTROOM_STATE_DIR": str(folder / "state"), **environment}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", only]
    command += [f"{name}.py" for name in names]
    done = run(
        command,
        cwd=folder,
        env=settings,
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    last = done.stdout.strip().rpartition("\n")[2].partition(" in ")[0]
    return {what: int(count) for count, what in re.findall(r"(\d+) (\w+)", last)}, done.stdout


async def test_what_is_rolled_back_or_committed_is_seen_and_drained(dsn: str, tmp_path: Path) -> None:
    """One that forgets to await fails."""
    shutil.copy(SAMPLES / "conftest.py", tmp_path)
    names = ("sqlalchemy_session", "asyncpg_connection", "committed")
    told, output = await asyncio.to_thread(suites, tmp_path, *names, ini=f"postroom_database_url = {dsn}")
    assert told == {"passed": 21, "error": 1}, output
    assert "a call of `postroom` was not awaited" in output


async def test_with_pytest_django(server_dsn: str, tmp_path: Path) -> None:
    found = {"DJANGO_SETTINGS_MODULE": "django_settings", "SERVER": server_dsn}
    told, output = await asyncio.to_thread(suites, tmp_path, "django_app", **found)
    assert told == {"passed": 6}, output


async def test_with_pytest_django_nothing_is_written_to_another_database(dsn: str, tmp_path: Path) -> None:
    found = {"DJANGO_SETTINGS_MODULE": "django_settings", "SERVER": dsn, "NAME": urlsplit(dsn).path[1:]}
    told, output = await asyncio.to_thread(suites, tmp_path, "django_unprepared", **found)
    assert told == {"error": 1}, output
    assert "is no test database that pytest-django has made" in output


def test_without_a_database_it_starts_one_where_there_is_need(tmp_path: Path) -> None:
    files = ROOT / "docs/samples/first"
    told, output = suites(
        tmp_path,
        "test_effects",
        "rehearsed",
        "committed",
        only="effects or rehearsed or a_commit_is_seen",
        POSTROOM_ROUTES=str(files / "routes.toml"),
        POSTROOM_HANDLERS=str(files / "handlers.py"),
        POSTROOM_EMAIL__TEMPLATES_DIR=str(files / "templates"),
    )
    assert told == {"passed": 7, "deselected": 5}, output
