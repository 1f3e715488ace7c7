"""Handlers import what lies beside their file, wherever the process that loads them was started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from postroom.dev.stripe_events import snapshot_event
from tests.processes.commands import run, running_command

HANDLERS = """
from postroom import on
from records_of_ours import record

@on("invoice.paid")
async def count(event, tx):
    await tx.publish(channel="export", payload={"dataset": "invoices", "record": record(event)})
"""
BESIDE = """
def record(event):
    return {"invoice": event.object["id"]}
"""


@pytest.fixture
def settings(dsn: str, tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "handlers.py").write_text(HANDLERS, encoding="utf-8")
    (folder / "records_of_ours.py").write_text(BESIDE, encoding="utf-8")
    assert not folder.is_relative_to(Path.cwd()), "every process here starts in another folder"
    return {
        "POSTROOM_DATABASE_URL": dsn,
        "POSTROOM_STATE_DIR": str(tmp_path / "state"),
        "POSTROOM_PORT": "0",
        "POSTROOM_HANDLERS": str(folder / "handlers.py"),
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("publish", "export", "--payload", '{"dataset": "d", "record": {}}'),
        ("work", "--job", "stripe-events", "--once"),
        ("routes", "check"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_from_another_folder_loads_them(
    settings: dict[str, str], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    ended = run("postroom", *arguments, home=tmp_path, settings=settings)
    assert ended.code == 0, ended.err


def test_they_run_with_what_they_import(settings: dict[str, str], tmp_path: Path) -> None:
    event = json.dumps(snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"}))
    ended = run(
        "postroom", "routes", "test", "--event", "-", "--json", home=tmp_path, settings=settings, stdin=event
    )
    [message] = ended.json["messages"]
    assert message["payload"]["record"] == {"invoice": "in_1"}


def test_serve_loads_them(settings: dict[str, str], tmp_path: Path) -> None:
    with running_command(["serve"], home=tmp_path, settings=settings, ready="http.listening", limit_s=40):
        pass
