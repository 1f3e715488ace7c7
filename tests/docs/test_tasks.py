"""docs/samples/tasks: a sign-up whose tasks run after its commit, by the real runner."""

from __future__ import annotations

import ast
import asyncio
import importlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from postroom.base.db import Pool
from postroom.dev.receiver import Receiver
from tests.conftest import run_sql
from tests.fixtures.roles import as_role
from tests.processes.commands import ROOT, run

FOLDER: Final = ROOT / "docs/samples/tasks"
TABLE: Final = (
    "create table customer (id serial primary key, email text not null, points integer not null default 0)"
)


@contextmanager
def shop(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The sample, imported as an application in its folder has it."""
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.syspath_prepend(FOLDER)
    try:
        yield importlib.import_module("shop")
    finally:
        for name in ("shop", "tasks"):
            sys.modules.pop(name, None)


async def test_a_sign_up_runs_its_tasks_once_it_has_committed(
    dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await run_sql(dsn, f"{TABLE}; grant all on customer, customer_id_seq to public")
    with shop(dsn, monkeypatch) as application:
        customer = await asyncio.to_thread(application.sign_up, "ada@example.com")
    async with Receiver() as crm:
        settings = {
            "POSTROOM_DATABASE_URL": as_role(dsn, "runner"),
            "POSTROOM_HANDLERS": str(FOLDER / "tasks.py"),
            "POSTROOM_STATE_DIR": str(tmp_path / "state"),
            "CRM_URL": crm.url(),
        }
        command = ("work", "--job", "outbox-delivery", "--once")
        done = await asyncio.to_thread(run, "postroom", *command, home=tmp_path, settings=settings)
    assert done.code == 0, done.err
    [request] = crm.received
    assert json.loads(request.body) == {"id": customer, "email": "ada@example.com"}
    assert await pool.fetchval("select points from customer") == 100


async def test_the_ports_of_celerys_and_rivers_first_applications_run(
    dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = ROOT / "docs/samples/ports"
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.syspath_prepend(folder)
    try:
        await asyncio.to_thread(importlib.import_module("enqueue").enqueue)
    finally:
        for name in ("enqueue", "celery_tasks", "river_tasks"):
            sys.modules.pop(name, None)
    go = """select postroom.publish('task', payload => jsonb_build_object('task', 'sort', 'args',
        jsonb_build_object('given', jsonb_build_object('words', $1::text[]))))"""
    await pool.execute(go, ["b", "a"])
    settings = {
        "POSTROOM_DATABASE_URL": as_role(dsn, "runner"),
        "POSTROOM_HANDLERS": f"{folder / 'celery_tasks.py'},{folder / 'river_tasks.py'}",
        "POSTROOM_STATE_DIR": str(tmp_path / "state"),
    }
    command = ("work", "--job", "outbox-delivery", "--once")
    done = await asyncio.to_thread(run, "postroom", *command, home=tmp_path, settings=settings)
    assert done.code == 0, done.err
    said = {line for line in done.err.splitlines() if line.startswith(("the sum", "sorted", "fetched"))}
    assert said == {"the sum is 9", "sorted: fig pear plum", "sorted: a b"}
    left = await pool.fetch("select destination, state from postroom.delivery")
    assert [tuple(row) for row in left] == [("shop.fetch", "retry")]


def test_what_the_page_of_ports_shows_is_what_these_files_have() -> None:
    page = (ROOT / "docs/how-to/port-tasks.md").read_text(encoding="utf-8")
    files = (ROOT / "docs/samples/ports").glob("*.py")
    have = {line.strip() for each in files for line in each.read_text(encoding="utf-8").splitlines()}
    blocks = [
        re.sub("^(-.*|[+ ])", "", each, flags=re.M) for each in re.findall("(?s)```diff\n(.*?)```", page)
    ]
    python = [each for each in blocks if _is_python(each)]
    assert len(python) == 3, "the tasks of both, and where one calls them; the others are shell and Go"
    assert {line.strip() for each in python for line in each.splitlines()} - have == set()


def _is_python(text: str) -> bool:
    try:
        return bool(ast.parse(text))
    except SyntaxError:
        return False
