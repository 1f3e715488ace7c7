"""The handlers file is loaded at start, or refused with its place."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from postroom.base.errors import SettingsInvalid
from postroom.base.operator_code import load_code
from postroom.channels.stripe.effects import EffectFailed, run_handler
from postroom.channels.stripe.handlers import Registry, handlers_in
from postroom.channels.stripe.loader import load_effects
from postroom.channels.stripe.transaction import Transaction

GOOD = """
from postroom import on

@on("invoice.paid", "invoice.voided", fetch=True)
async def receipt(event, tx):
    await tx.publish(channel="export", payload={"dataset": "d", "record": event.object})

@on("customer.*", name="people")
async def customers(event, tx):
    pass
"""

GROUP = """
import asyncio
from postroom import on

async def fail():
    raise ValueError

@on("invoice.paid")
async def grouped(event, tx):
    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
"""


def load(tmp_path: Path, text: str) -> Registry:
    path = tmp_path / "handlers.py"
    path.write_text(text, encoding="utf-8")
    return handlers_in(load_code([str(path)]))


def faults(tmp_path: Path, text: str) -> str:
    with pytest.raises(SettingsInvalid) as refusal:
        load(tmp_path, text)
    return "\n".join(refusal.value.faults)


def test_handlers_are_found_by_event_type(tmp_path: Path) -> None:
    registry = load(tmp_path, GOOD)
    [receipt] = registry.matching("invoice.voided")
    assert (receipt.name, receipt.fetch) == ("receipt", True)
    assert [handler.name for handler in registry.matching("customer.subscription.deleted")] == ["people"]
    assert registry.matching("charge.failed") == []


async def test_a_group_of_tasks_that_fails_in_one_is_left_to_itself(tmp_path: Path) -> None:
    """It leaves its task counted as cancelled, which limits of time take for their own before 3.11.3."""
    [handler] = load(tmp_path, GROUP).handlers
    tx = cast(Transaction, SimpleNamespace(event=None, lost=False))
    with pytest.raises(EffectFailed, match="handler grouped raised ExceptionGroup"):
        await run_handler(handler, tx)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def broken(:\n", "handlers.py:1: "),
        ("x = 1\nraise RuntimeError('no')\n", "handlers.py:2: RuntimeError: no"),
        ("\nimport nowhere_at_all\n", "handlers.py:2: ModuleNotFoundError"),
        (
            "from postroom import on\n@on('invoice.paid')\ndef f(event, tx): ...\n",
            "must be an async function",
        ),
        (
            "from postroom import on\n@on('invoice.payed')\nasync def f(event, tx): ...\n",
            "known names: invoice.paid",
        ),
        ("from postroom import on\n@on()\nasync def f(event, tx): ...\n", "names no event type"),
        (
            GOOD + "\n@on('invoice.paid', name='receipt')\nasync def g(event, tx): ...\n",
            "'receipt' is used by 2",
        ),
        (
            'from postroom import on\n@on("balance.available", fetch=True)\nasync def f(event, tx): ...',
            "'fetch' cannot be had for 'balance.available'",
        ),
    ],
)
def test_a_fault_is_refused_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in faults(tmp_path, text)


def test_the_faults_of_both_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("from postroom import on\n@on()\nasync def f(event, tx): ...\n")
    (tmp_path / "routes.toml").write_text("[[route]]\n", encoding="utf-8")
    with pytest.raises(SettingsInvalid) as refusal:
        load_effects(routes=tmp_path / "routes.toml", code=load_code([str(tmp_path / "bad.py")]), checks={})
    assert any("routes.toml:1" in fault for fault in refusal.value.faults)
    assert any("bad.py:2" in fault for fault in refusal.value.faults)
