"""`postroom routes` as a process, without any database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from postroom.dev.stripe_events import snapshot_event
from tests.processes.commands import Ended, run

ROUTES = """[[route]]
on = "invoice.paid"
email = { template = "receipt", to = "{{ object.customer_email }}" }
"""
INVOICE = {"id": "in_1", "object": "invoice", "customer_email": "a@example.com"}

Cli = Callable[..., Ended]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "routes.toml").write_text(ROUTES, encoding="utf-8")
    event = snapshot_event("invoice.paid", INVOICE, event_id="evt_1")
    (tmp_path / "event.json").write_text(json.dumps(event), encoding="utf-8")
    # An address where nothing listens: whoever asked it would fail.
    settings = {
        "POSTROOM_STATE_DIR": str(tmp_path / "state"),
        "POSTROOM_DATABASE_URL": "postgresql://127.0.0.1:1/x",
    }

    def call(*arguments: str, stdin: str | None = None, **more: str) -> Ended:
        return run(
            "postroom", "routes", *arguments, home=tmp_path, settings={**settings, **more}, stdin=stdin
        )

    return call


def test_check_lists_the_routes_of_the_setting_and_of_a_file(cli: Cli, tmp_path: Path) -> None:
    file = str(tmp_path / "routes.toml")
    by_setting, by_option = cli("check", POSTROOM_ROUTES=file), cli("check", "--file", file, "--json")
    assert (by_setting.code, by_option.code) == (0, 0)
    assert "invoice.paid/1:email" in by_setting.out
    [listed] = by_option.json
    assert listed["sends"] == "template receipt to {{ object.customer_email }}"


def test_check_refuses_faults_with_their_lines(cli: Cli, tmp_path: Path) -> None:
    file, handlers = tmp_path / "routes.toml", tmp_path / "handlers.py"
    file.write_text(ROUTES.replace("receipt", "reciept"), encoding="utf-8")
    handlers.write_text("import nowhere\n", encoding="utf-8")
    ended = cli("check", "--file", str(file), "--handlers", str(handlers))
    assert ended.code == 2
    assert "routes.toml:3: email: template: unknown template 'reciept'" in ended.err
    assert "handlers.py:1: ModuleNotFoundError" in ended.err
    assert cli("check").code == 2, "nothing to read"


def test_test_prints_the_messages_of_an_event(cli: Cli, tmp_path: Path) -> None:
    file, event = str(tmp_path / "routes.toml"), str(tmp_path / "event.json")
    shown = cli("test", "--file", file, "--event", event)
    assert shown.code == 0
    assert "email  stripe:self:evt_1:invoice.paid/1:email" in shown.out
    piped = cli(
        "test", "--file", file, "--event", "-", "--json", stdin=Path(event).read_text(encoding="utf-8")
    )
    told = piped.json
    assert [message["payload"]["to"] for message in told["messages"]] == ["a@example.com"]
    nobody = json.dumps(snapshot_event("invoice.paid", {**INVOICE, "customer_email": None}))
    failed = cli("test", "--file", file, "--event", "-", stdin=nobody)
    assert failed.code == 1
    assert "email.to is empty" in failed.err
    other = json.dumps(snapshot_event("invoice.voided", INVOICE))
    assert (
        "invoice.voided causes no message here."
        in cli("test", "--file", file, "--event", "-", stdin=other).out
    )


@pytest.mark.parametrize("body", ["no json", "[]", "{}"])
def test_what_is_no_event_is_wrong_use(cli: Cli, tmp_path: Path, body: str) -> None:
    ended = cli("test", "--file", str(tmp_path / "routes.toml"), "--event", "-", stdin=body)
    assert ended.code == 2
    assert "Traceback" not in ended.err
