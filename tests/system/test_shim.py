"""The names of before: `python -m app.jobs.run` and `from app.stripe import on`."""

from __future__ import annotations

from pathlib import Path

import app.stripe
import postroom
from tests.processes.commands import run


def test_the_old_import_is_the_new_one() -> None:
    assert app.stripe.on is postroom.on


def test_the_old_command_runs_one_job_and_keeps_its_exit_codes(dsn: str, tmp_path: Path) -> None:
    settings = {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(tmp_path)}
    done = run("app.jobs.run", "--job", "canary", "--once", home=tmp_path, settings=settings)
    assert (done.code, done.out) == (0, "canary: done, 1 handled\n"), done.err
    wrong = run("app.jobs.run", "--job", "outbox", "--once", home=tmp_path, settings=settings)
    assert wrong.code == 2
    assert "outbox-delivery" in wrong.err


def test_handlers_of_the_old_command_may_import_an_app_of_their_own(dsn: str, tmp_path: Path) -> None:
    package = tmp_path / "app"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text("NAME = 'theirs'\n")
    handlers = tmp_path / "handlers.py"
    handlers.write_text(
        "from postroom import on\nfrom app.models import NAME\n\n"
        "@on('invoice.paid', name=NAME)\nasync def receipt(event, tx): ...\n"
    )
    settings = {
        "POSTROOM_DATABASE_URL": dsn,
        "POSTROOM_STATE_DIR": str(tmp_path),
        "POSTROOM_HANDLERS": str(handlers),
    }
    done = run("app.jobs.run", "--job", "canary", "--once", home=tmp_path, settings=settings)
    assert done.code == 0, done.err
