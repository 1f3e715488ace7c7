"""docs/samples/django_shop: the tutorial's application, with its own three tests."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, run
from typing import Final
from uuid import uuid4

from tests.conftest import on_database
from tests.processes.commands import ROOT

FOLDER: Final = ROOT / "docs/samples/django_shop"
WITHIN_S: Final = 100


async def test_its_three_tests_pass_in_a_database_of_their_own(server_dsn: str, tmp_path: Path) -> None:
    """No other one is there to be written to."""
    folder = shutil.copytree(FOLDER, tmp_path / "shop")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("POSTROOM_", "PYTEST_"))}
    environment = {**kept, "DATABASE_URL": on_database(server_dsn, f"shop_{uuid4().hex[:8]}")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = await asyncio.to_thread(
        run, command, cwd=folder, env=environment, stdout=PIPE, stderr=STDOUT, text=True, timeout=WITHIN_S
    )
    assert "3 passed" in done.stdout, done.stdout


def test_the_tutorial_shows_each_file() -> None:
    page = (ROOT / "docs/tutorial/django-shop.md").read_text(encoding="utf-8")
    files = [
        path.relative_to(ROOT)
        for path in FOLDER.rglob("*")
        if path.suffix in (".py", ".ini") and path.stat().st_size
    ]
    assert len(files) == 7
    assert all(f'--8<-- "{name}"' in page for name in files)
