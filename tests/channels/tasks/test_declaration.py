"""`@task`: what it takes, what it refuses, and how a task is published."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

import postroom
from postroom.base.db import Pool, transaction
from postroom.base.errors import InvalidPayload, PublishRefused, SettingsInvalid
from postroom.base.operator_code import load_code
from postroom.channels.tasks.registry import check, tasks_in
from tests.channels.tasks import code
from tests.channels.tasks.code import Order, fails, ship, work


def test_called_directly_it_is_the_function(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no task of Postroom's is running here"):
        work(str(tmp_path))


async def test_it_is_published_with_its_arguments_and_options(pool: Pool) -> None:
    once = ship.with_options(key="order:7", tenant="acme")
    async with transaction(pool) as conn:
        order = Order(number=7, lines=["pen"])
        first = await once.publish(conn, order, when=timedelta(hours=1))
        again = await once.publish(conn, order, when=timedelta(hours=1))
    assert first == again
    row = await pool.fetchrow("select channel, type, tenant, key, payload from postroom.message")
    assert row is not None
    assert {**row, "payload": json.loads(row["payload"])} == {
        "channel": "task",
        "type": "order",
        "tenant": "acme",
        "key": "order:7",
        "payload": {"task": "order", "args": {"order": {"number": 7, "lines": ["pen"]}, "when": "PT3600S"}},
    }
    assert await pool.fetchval("select destination from postroom.delivery") == "order"


async def test_it_is_published_once_in_a_while_where_it_says_so(pool: Pool) -> None:
    once = fails.with_options(key="crm:42", unique_for_s=60)
    async with transaction(pool) as conn:
        first = await once.publish_unique(conn, "x")
        assert (first.result, await once.publish_unique(conn, "y")) == ("published", (first.id, "skipped"))
        with pytest.raises(PublishRefused, match="unique_for_s: goes with publish_unique"):
            await once.publish(conn, "x")


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((Order(7, ["pen"]), 3.5, 1), {}, "too many positional arguments"),
        ((), {"order": Order(7, ["pen"])}, "missing a required argument: 'when'"),
        ((Order(cast("int", "7"), []), timedelta(1)), {}, "order.number: Expected `int`, got `str`"),
        ((Order(7, ["pen"]), "soon"), {}, "when: Invalid ISO8601 duration"),
        ((object(), timedelta(1)), {}, "Encoding objects of type object is unsupported"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_before_anything_is_published(
    pool: Pool, args: Any, kwargs: Any, expected: str
) -> None:
    async with transaction(pool) as conn:
        with pytest.raises(PublishRefused) as refused:
            await ship.publish(conn, *args, **kwargs)
    assert expected in str(refused.value)
    assert await pool.fetchval("select count(*) from postroom.message") == 0


def test_arguments_are_read_as_they_are_annotated() -> None:
    given = {"order": {"number": 7, "lines": ["pen"]}, "when": "PT1H"}
    assert ship.read(given) == {"order": Order(7, ["pen"]), "when": timedelta(hours=1)}


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "task"),
        ({"task": 7}, "task"),
        ({"task": "nobody knows it"}, "task"),
        ({"task": "order", "args": [1]}, "args"),
        ({"task": "order", "arg": {}}, "arg"),
        ({"task": "fails", "args": {}}, "args.word"),
        ({"task": "fails", "args": {"word": 1}}, "args.word"),
        ({"task": "fails", "args": {"word": "x", "words": "y"}}, "args.words"),
        (
            {"task": "order", "args": {"order": {"number": 1, "lines": [2]}, "when": "PT1H"}},
            "args.order.lines[0]",
        ),
    ],
)
def test_a_payload_that_never_fits_is_refused_with_its_field(payload: Any, field: str) -> None:
    tasks = tasks_in([code])
    with pytest.raises(InvalidPayload) as refused:
        check(payload, tasks)
    assert refused.value.field == field


def test_where_no_code_is_known_any_task_may_be_published() -> None:
    check({"task": "elsewhere", "args": {"any": "thing"}}, {})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"name": ""}, "a task's name has 1 to 200"),
        ({"name": "a\nb"}, "a task's name has 1 to 200"),
        ({"name": "a", "attempts": 0}, "attempts is between 1 and 25"),
        ({"name": "a", "attempts": 26}, "attempts is between 1 and 25"),
        ({"name": "a", "timeout_s": 0}, "timeout_s is above 0"),
    ],
)
def test_a_wrong_declaration_is_refused(arguments: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        postroom.task(arguments.pop("name"), **arguments)


def test_what_is_no_plain_function_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a function"):
        postroom.task("a")(Order)
    with pytest.raises(TypeError, match="parameter words must be one that has a name"):
        postroom.task("a")(lambda *words: None)


def test_two_tasks_of_one_name_are_refused_with_both_places(tmp_path: Path) -> None:
    text = 'from postroom import task\n@task("a")\ndef f() -> None: ...\n'
    (tmp_path / "one.py").write_text(text)
    (tmp_path / "two.py").write_text(f"\n{text}")
    modules = load_code([str(tmp_path / "one.py"), str(tmp_path / "two.py")])
    with pytest.raises(SettingsInvalid) as refused:
        tasks_in(modules)
    assert "two tasks are named 'a'" in str(refused.value)
    assert "one.py:2" in str(refused.value)
    assert "two.py:3" in str(refused.value)


def test_a_module_that_fails_to_import_is_named_with_its_line(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "shop_of_a_test.py").write_text("import os\n\nraise RuntimeError('no')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsInvalid) as refused:
        load_code(["shop_of_a_test", "nowhere.to.be.found"])
    assert "RuntimeError: no" in refused.value.faults[0]
    assert "shop_of_a_test.py:3" in refused.value.faults[0]
    assert "No module named 'nowhere'" in refused.value.faults[1]


def test_one_task_that_two_modules_have_is_one(monkeypatch: Any, tmp_path: Path) -> None:
    (tmp_path / "imports_it.py").write_text("from tests.channels.tasks.code import fails\n")
    assert tasks_in([code, *load_code([str(tmp_path / "imports_it.py")])])["fails"] is fails
