"""docs/samples/django_shop: the tutorial's application, with its own three tests."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen, run
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen
from uuid import uuid4

from postroom.base.listener import free_port
from tests.conftest import on_database
from tests.processes.commands import ROOT, environment, read_environment, running_command
from tests.processes.commands import run as run_command
from tests.processes.local_postgres import wait_until

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


def test_what_it_lets_a_person_run_does_what_it_says(tmp_path: Path) -> None:
    """Its third section: an order has a charge, a task and a mail, a refused one has nothing."""
    folder = shutil.copytree(FOLDER, tmp_path / "shop")
    names = {
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "PYTHONPATH": f"{folder}:{ROOT}",  # which is the folder one stands in
    }
    started = {
        **names,
        "POSTROOM_HANDLERS": "postroom.contrib.django.handlers",
        "POSTROOM_STATE_DIR": str(tmp_path / "state"),
    }
    with running_command(
        ["up"], home=tmp_path, settings=started, ready="postroom doctor", limit_s=WITHIN_S
    ) as up:
        settings = {**names, **read_environment(tmp_path / "state" / "environment")}
        django = [sys.executable, "-m", "django"]
        migrate = run(
            [*django, "migrate", "--run-syncdb"],
            env=environment(tmp_path, settings), stdout=PIPE, stderr=STDOUT, text=True,
            timeout=WITHIN_S, check=False,
        )  # fmt: skip
        assert migrate.returncode == 0, migrate.stdout
        port = free_port()
        with Popen(
            [*django, "runserver", "--noreload", f"{port}"], env=environment(tmp_path, settings)
        ) as shop:
            try:
                assert wait_until(lambda: order(port, 4_900) == 201, limit_s=WITHIN_S)
                assert order(port, 200_000) == 400
            finally:
                shop.terminate()
        effects = ("delivered 200", "shop.confirm", "Your order 1 → ada@example.com")
        assert wait_until(lambda: all(map(up.says, effects)), limit_s=WITHIN_S), up.output
        assert "Your order 2" not in up.output
        listed = run_command("postroom", "schedule", "list", home=tmp_path, settings=settings)
        assert "shop.report" in listed.out, listed.err
        ran = run_command("postroom", "schedule", "run", "shop.report", home=tmp_path, settings=settings)
        assert ran.code == 0, ran.err
        mails = tmp_path / "state" / "mail"
        assert wait_until(lambda: any("1 orders" in m.read_text() for m in mails.iterdir()), limit_s=WITHIN_S)
        assert len(list(mails.glob("*.eml"))) == 2


def order(port: int, total: int) -> int:
    """The status that an order is answered with; 0 while nobody answers."""
    form = urlencode({"email": "ada@example.com", "customer": "cus_42", "total": total}).encode()
    try:
        with urlopen(f"http://127.0.0.1:{port}/orders", form, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as refused:
        return refused.code
    except URLError:
        return 0
