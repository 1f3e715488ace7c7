"""Django's Tasks framework on the ledger: enqueued in its transaction, run by the real runner."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from postroom import PublishRefused
from postroom.base.db import Pool
from tests.conftest import run_sql
from tests.fixtures.django import django_on
from tests.fixtures.roles import as_role
from tests.processes.commands import ROOT, Ended, run

SHOP: Final = "tests.fixtures.django_shop.tasks"


async def test_what_is_enqueued_runs_once_it_has_committed(dsn: str, pool: Pool, tmp_path: Path) -> None:
    await run_sql(dsn, "create table note (what text not null)")
    with django_on(dsn) as connection:
        from django.db import transaction

        from tests.fixtures.django_shop.tasks import add, fail, later, own, tell

        with transaction.atomic():
            added = add.enqueue(1, second=2)
            told = tell.enqueue("context")
            failed = fail.enqueue()
            later.enqueue("async")
            own.publish(connection)
        with suppress(ZeroDivisionError), transaction.atomic():
            add.enqueue(3)
            raise ZeroDivisionError
        tomorrow = add.using(run_after=datetime.now(UTC) + timedelta(days=1)).enqueue(4)
        assert _status(add, added) == ("READY", 0)

        settings = {
            "POSTROOM_DATABASE_URL": as_role(dsn, "runner"),
            "POSTROOM_HANDLERS": "postroom.contrib.django.handlers",
            "POSTROOM_STATE_DIR": str(tmp_path / "state"),
            "DJANGO_SETTINGS_MODULE": "tests.fixtures.django_shop.settings",
            "SHOP_URL": dsn,
        }
        command = ("work", "--job", "outbox-delivery", "--once")
        done = await asyncio.to_thread(run, "postroom", *command, home=tmp_path, settings=settings)
        assert done.code == 0, done.err
        notes = await pool.fetch("select what from note order by what")
        assert [row["what"] for row in notes] == ["1 + 2", "async", "context at attempt 1", "own"]

        assert _status(add, added) == ("SUCCESSFUL", 1)
        assert _status(tell, told) == ("SUCCESSFUL", 1)
        assert _status(add, tomorrow) == ("READY", 0)
        failed.refresh()
        assert (failed.status, failed.attempts, failed.is_finished) == ("FAILED", 1, True)
        [error] = failed.errors
        assert error.exception_class is ValueError
        assert "there is no such order" in error.traceback


def _status(task: Any, result: Any) -> tuple[str, int]:
    now = task.get_result(result.id)
    assert now.args == result.args
    assert now.enqueued_at is not None
    return now.status.value, now.attempts


async def test_what_it_cannot_do_it_refuses(dsn: str, pool: Pool) -> None:
    with django_on(dsn):
        from django_tasks.exceptions import InvalidTaskError, TaskResultDoesNotExist

        from tests.fixtures.django_shop.tasks import add

        for unknown in (str(uuid4()), "no id"):
            with pytest.raises(TaskResultDoesNotExist):
                add.get_result(unknown)
        with pytest.raises(InvalidTaskError, match="Queue 'other'"):
            add.using(queue_name="other")
        with pytest.raises(PublishRefused, match="payload"):
            add.enqueue("x" * 3_000_000)  # type: ignore[arg-type]  # what nobody can publish
        urgent, bulk = add.using(priority=7).enqueue(1), add.using(priority=-7).enqueue(2)
        states = await pool.fetch("select state from postroom.delivery order by seq")
        assert [row["state"] for row in states] == ["pending_urgent", "pending_bulk"]
        await pool.execute("update postroom.message set payload = '{}' where id = $1", urgent.id)
        with pytest.raises(TaskResultDoesNotExist):
            urgent.refresh()
        bulk.refresh()


PAID: Final = """
from postroom import on

@on("invoice.paid")
async def paid(event, tx): ...
"""


def test_handlers_of_events_are_found_in_the_apps_and_faults_are_named(tmp_path: Path) -> None:
    def check(handlers: str) -> Ended:
        """Of a project whose one app has a handler among its tasks, and these."""
        (tmp_path / "shop/handlers.py").write_text(handlers)
        settings = {
            "POSTROOM_HANDLERS": "postroom.contrib.django.handlers",
            "DJANGO_SETTINGS_MODULE": "project",
            "PYTHONPATH": f"{ROOT}:{tmp_path}",
        }
        return run("postroom", "routes", "check", "--json", home=tmp_path, settings=settings)

    (tmp_path / "project.py").write_text("INSTALLED_APPS = ['postroom.contrib.django', 'shop']")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/tasks.py").write_text(PAID)
    found = check(f"from shop.tasks import paid\n{PAID.replace('paid', 'voided')}")
    assert found.code == 0, found.err
    assert {each["key"] for each in found.json} == {"handler/paid:", "handler/voided:"}
    assert "the name 'paid' is used by 2 handlers" in check(PAID).err
    assert "shop.handlers: ModuleNotFoundError: No module named 'nowhere'" in check("import nowhere").err
